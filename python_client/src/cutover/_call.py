"""What is added to a call on its way out, the same for all kinds, sync and aio.

Owns the deadline, the sticky key, the CLIENT span and its propagation. Leaves to the interceptors
how a call of each kind is made and how its end is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from opentelemetry import propagate, trace

from cutover._config import CallDefaults

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

_tracer = trace.get_tracer("cutover")


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call's timeout, its metadata, and the span that is open until it ends."""

    timeout: float | None
    metadata: Metadata
    span: trace.Span

    def end(self, code: grpc.StatusCode | None) -> None:
        """Ends the span. Without a code, the call came to no status of its own."""
        if self.span.is_recording():
            if code is not None:
                self.span.set_attribute("rpc.response.status_code", code.name)
            if code is not grpc.StatusCode.OK:
                kind = "_OTHER" if code is None else code.name
                self.span.set_attribute("error.type", kind)
                self.span.set_status(trace.StatusCode.ERROR)
        self.span.end()


def prepare(
    defaults: CallDefaults,
    *,
    method: str | bytes,
    timeout: float | None,
    metadata: Iterable[tuple[str, str | bytes]] | None,
) -> PreparedCall:
    """Adds what the call lacks; metadata given with the call wins.

    Raises:
        ValueError: The sticky key cannot be sent.
    """
    given = tuple(metadata or ())
    names = {name for name, _ in given}
    added: dict[str, str] = {}
    if defaults.sticky_metadata not in names:
        key = defaults.sticky_value()
        if key is not None:
            added[defaults.sticky_metadata] = key
    path = method.decode() if isinstance(method, bytes) else method
    span = _tracer.start_span(
        path.removeprefix("/"),
        kind=trace.SpanKind.CLIENT,
        attributes={"rpc.system.name": "grpc", "rpc.method": path.removeprefix("/")},
    )
    # Without a configured provider the context is invalid, and nothing is injected.
    propagate.inject(added, context=trace.set_span_in_context(span))
    extra = tuple((name, value) for name, value in added.items() if name not in names)
    return PreparedCall(_timeout(defaults, timeout), given + extra, span)


def _timeout(defaults: CallDefaults, timeout: float | None) -> float | None:
    if timeout is None:
        return defaults.deadline
    # grpcio knows no infinite timeout; it is how a call says that it wants none at all.
    return None if math.isinf(timeout) else timeout
