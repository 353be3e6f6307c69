"""What a channel can be told: retries, TLS, and the defaults of each call. Validated when made."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

StickyKey: TypeAlias = str | Callable[[], str | None]
"""The key, or a function that is asked for it at each call; None sends no key."""

MAX_ATTEMPTS = 5
"""gRPC itself makes no more attempts than these, whatever a policy says."""

_METADATA_NAME = re.compile(r"[0-9a-z_.-]+")
_METADATA_VALUE = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Repeats calls that ended with UNAVAILABLE, of methods without side effects only.

    Which methods those are comes from the contracts: `idempotency_level = NO_SIDE_EFFECTS`. A
    method that the contracts do not name is never repeated, and neither is a stream whose first
    response has come.

    Attributes:
        contracts: Generated modules (`gazetteer_pb2`) or file descriptors.
        max_attempts: Attempts in all, 2 to 5; default 3.
        initial_backoff: Longest wait before the second attempt, seconds; default 0.05.
        max_backoff: Longest wait before any attempt, seconds; default 1.
        throttle_tokens: Each failure costs a token of a target, each success gives back
            `throttle_ratio`; below half of the tokens there are no retries. Default 10.
        throttle_ratio: See there; default 0.1.
    """

    contracts: tuple[ModuleType | FileDescriptor, ...]
    max_attempts: int = 3
    initial_backoff: float = 0.05
    max_backoff: float = 1.0
    throttle_tokens: int = 10
    throttle_ratio: float = 0.1

    def __post_init__(self) -> None:
        if not 2 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ValueError(f"max_attempts must be 2 to {MAX_ATTEMPTS}, not {self.max_attempts}")
        _seconds("initial_backoff", self.initial_backoff)
        _seconds("max_backoff", self.max_backoff)
        if not 0 < self.throttle_tokens <= 1000:
            raise ValueError(f"throttle_tokens must be 1 to 1000, not {self.throttle_tokens}")
        if not 0 < self.throttle_ratio <= 1:
            raise ValueError(f"throttle_ratio must be over 0, at most 1, not {self.throttle_ratio}")

    def service_config(self) -> str:
        """The policy as gRPC's service config, JSON."""
        names = [
            {"service": method.containing_service.full_name, "method": method.name}
            for method in _methods(self.contracts)
            if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        ]
        policy = {
            "maxAttempts": self.max_attempts,
            "initialBackoff": f"{self.initial_backoff:.9f}s",
            "maxBackoff": f"{self.max_backoff:.9f}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        throttle = {"maxTokens": self.throttle_tokens, "tokenRatio": self.throttle_ratio}
        # A methodConfig without a name would be for every method, writes among them.
        methods = [{"name": names, "retryPolicy": policy}] if names else []
        return json.dumps({"methodConfig": methods, "retryThrottling": throttle})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS towards the server. All parts are PEM; `Tls()` trusts the roots that gRPC brings.

    Attributes:
        root_certificates: Whom to trust.
        private_key: The client's own key, for mTLS.
        certificate_chain: The client's own certificates, for mTLS.
        server_name: The name that the server's certificate must have, if not that of the target.
    """

    root_certificates: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError("private_key and certificate_chain go together")

    def credentials(self) -> grpc.ChannelCredentials:
        """What grpcio calls it."""
        return grpc.ssl_channel_credentials(
            self.root_certificates, self.private_key, self.certificate_chain
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDefaults:
    """What every call of a channel gets unless it brings its own."""

    deadline: float | None
    sticky_key: StickyKey | None
    sticky_metadata: str

    def __post_init__(self) -> None:
        if self.deadline is not None:
            _seconds("deadline", self.deadline)
        name = self.sticky_metadata
        if not _METADATA_NAME.fullmatch(name) or name.startswith("grpc-") or name.endswith("-bin"):
            raise ValueError(
                f"sticky_metadata must be a lower-case metadata name that neither begins with "
                f"'grpc-' nor ends with '-bin', not {name!r}"
            )
        if isinstance(self.sticky_key, str):
            _printable(self.sticky_key)

    def sticky_value(self) -> str | None:
        """The sticky key of the call that is about to be made."""
        if not callable(self.sticky_key):
            return self.sticky_key
        value = self.sticky_key()
        return None if value is None else _printable(value)


def channel_options(
    *, retry: Retry | None, tls: Tls | None, keepalive: float | None
) -> list[tuple[str, Any]]:
    """The options of a grpcio channel."""
    # gRPC's own retries of calls that provably reached no handler stay on, for writes too: they
    # are what makes a server's restart invisible.
    options: list[tuple[str, Any]] = []
    if retry is not None:
        options.append(("grpc.service_config", retry.service_config()))
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    if keepalive is not None:
        options += [
            ("grpc.keepalive_time_ms", int(_seconds("keepalive", keepalive) * 1000)),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Servers answer pings without calls with GOAWAY too_many_pings.
            ("grpc.keepalive_permit_without_calls", 0),
        ]
    return options


def _methods(contracts: Iterable[ModuleType | FileDescriptor]) -> Iterator[MethodDescriptor]:
    for contract in contracts:
        descriptor = contract if isinstance(contract, FileDescriptor) else contract.DESCRIPTOR
        for service in descriptor.services_by_name.values():
            yield from service.methods


def _seconds(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, in seconds, not {value}")
    return value


def _printable(value: str) -> str:
    if not _METADATA_VALUE.fullmatch(value):
        raise ValueError(f"a sticky key must be printable ASCII and not empty, not {value!r}")
    return value
