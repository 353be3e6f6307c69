"""What the server is told: flags, else environment variables, else defaults."""

import argparse
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""What gRPC itself takes as the largest message unless told otherwise."""

_MAX_PORT = 65_535
_MAX_WORKERS = 1_024
_MAX_CALLS = 1_000_000
_MAX_MESSAGE_BYTES = 2**31 - 1
_MAX_GRACE_S = 3_600.0
_LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; `host` is without brackets, port 0 lets the kernel choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses HOST:PORT or [IPV6]:PORT.

        Raises:
            ValueError: The text is neither.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if bracketed else host
        if not (colon and host and (bracketed or ":" not in host)):
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:50051")
        if not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
            raise ValueError(f"the port must be between 0 and {_MAX_PORT}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """A whole and valid configuration of the server.

    Attributes:
        listen: Where to listen.
        database: The database made by `gazetteer-load`.
        workers: Threads that run calls; a stream holds one for as long as it lasts.
        max_concurrent_calls: Calls running or waiting; more get RESOURCE_EXHAUSTED.
        max_message_bytes: The largest message taken or sent.
        shutdown_grace_s: Seconds that running calls have after SIGTERM.
        log_level: A level of `logging`.
    """

    listen: Address
    database: Path
    workers: int
    max_concurrent_calls: int
    max_message_bytes: int
    shutdown_grace_s: float
    log_level: int


def parse_config(
    argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """Reads the configuration; what is wrong with it ends the process with code 2.

    Args:
        argv: The arguments; those of the process if left out.
        environment: The environment variables; those of the process if left out.

    Returns:
        The configuration.
    """
    parser = _parser(os.environ if environment is None else environment)
    arguments = parser.parse_args(argv)
    if not arguments.database.is_file():
        parser.error(
            f"argument --database: there is no file {arguments.database}; "
            f"run gazetteer-load --database {arguments.database}"
        )
    return Config(
        listen=arguments.listen,
        database=arguments.database,
        workers=arguments.workers,
        max_concurrent_calls=arguments.max_concurrent_calls,
        max_message_bytes=arguments.max_message_bytes,
        shutdown_grace_s=arguments.shutdown_grace,
        log_level=arguments.log_level,
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gazetteer-server",
        description="Serve the gazetteer over gRPC.",
        epilog="Each flag has an environment variable, such as GAZETTEER_MAX_MESSAGE_BYTES. "
        "Traces and metrics are exported if OTEL_EXPORTER_OTLP_ENDPOINT is set.",
    )

    def add(
        flag: str, default: str, metavar: str, parse: Callable[[str], object], is_: str
    ) -> None:
        variable = f"GAZETTEER_{flag.removeprefix('--').replace('-', '_').upper()}"
        parser.add_argument(
            flag,
            # argparse parses a default that is text as if it were given.
            default=environment.get(variable, default),
            metavar=metavar,
            type=_explained(parse),
            help=f"{is_} (default: {default})",
        )

    add("--listen", "127.0.0.1:50051", "HOST:PORT", Address.parse, "where to listen")
    add("--database", "gazetteer.db", "PATH", Path, "the database made by gazetteer-load")
    add("--workers", "16", "N", _whole(1, _MAX_WORKERS), "threads that run calls")
    add(
        "--max-concurrent-calls",
        "1000",
        "N",
        _whole(1, _MAX_CALLS),
        "calls running or waiting; more get RESOURCE_EXHAUSTED",
    )
    add(
        "--max-message-bytes",
        str(DEFAULT_MAX_MESSAGE_BYTES),
        "N",
        _whole(1, _MAX_MESSAGE_BYTES),
        "the largest message taken or sent",
    )
    add(
        "--shutdown-grace",
        "10",
        "SECONDS",
        _seconds,
        "how long running calls may go on after SIGTERM",
    )
    add("--log-level", "info", "LEVEL", _log_level, "least level logged to standard error")
    return parser


def _explained(parse: Callable[[str], object]) -> Callable[[str], object]:
    def explained(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error

    return explained


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"must be a whole number between {least} and {most}")
        return int(text)

    return whole


def _seconds(text: str) -> float:
    message = f"must be a number of seconds between 0 and {_MAX_GRACE_S:.0f}"
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(message) from None
    if not 0 <= seconds <= _MAX_GRACE_S:
        raise ValueError(message)
    return seconds


def _log_level(text: str) -> int:
    if text not in _LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(_LOG_LEVELS)}")
    return int(getattr(logging, text.upper()))
