"""A foreign backend as a test sees it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from harness import ROOT, Process
from typing_extensions import Self

from foreign.service import LEDGER

UNBOUNDED = (("grpc.max_receive_message_length", -1),)


@dataclass(frozen=True)
class Backend:
    """A running foreign backend."""

    process: Process
    address: str

    @property
    def url(self) -> str:
        """As a manifest names it."""
        return f"http://{self.address}"

    def channel(self) -> grpc.Channel:
        """A new channel to it, without the proxy."""
        return grpc.insecure_channel(self.address)

    def ledger(self, method: str | None = None) -> list[dict[str, Any]]:
        """Every call that reached a handler, or those of one method."""
        with grpc.insecure_channel(self.address, UNBOUNDED) as channel:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(LEDGER)
            entries = json.loads(ask(b"", timeout=30))
        return [entry for entry in entries if method in (None, entry["method"])]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()


def start_foreign(
    arm: str, *, logs: Path, listen: str = "127.0.0.1:0", extra: Sequence[str] = ()
) -> Backend:
    """Starts a backend that answers as `arm`; `extra` are more of its flags."""
    command = [sys.executable, "-m", "foreign", "--arm", arm, "--listen", listen, *extra]
    env = {"PYTHONPATH": str(ROOT / "tests")}
    process = Process(f"foreign-{arm}", command, logs=logs, env=env)
    try:
        return Backend(process, process.wait_for_line(r"^listening on (\S+)$")[1])
    except BaseException:
        process.stop()
        raise


def key_of(entry: dict[str, Any], name: str = "x-user-id") -> str | None:
    """The value of a metadata entry of a call in the ledger."""
    return next((value for key, value in entry["metadata"] if key == name), None)
