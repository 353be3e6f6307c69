"""The handlers of the foreign service, and their ledger."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

SERVICE = "foreign.v1.Foreign"

ECHO = f"/{SERVICE}/Echo"
"""Unary: answers with the request, and with metadata of every kind."""
FAIL = f"/{SERVICE}/Fail"
"""Unary: aborts with the code that the request's text names."""
COUNT = f"/{SERVICE}/Count"
"""Server stream: as many messages as the request's text says."""
GATHER = f"/{SERVICE}/Gather"
"""Client stream: answers with all requests, joined."""
CHAT = f"/{SERVICE}/Chat"
"""Bidirectional stream: answers each request at once, in order."""
WAIT = f"/{SERVICE}/Wait"
"""Unary: answers only when the call is cancelled or its deadline passes."""
LEDGER = f"/{SERVICE}/Ledger"
"""Unary: the ledger as JSON; itself not in it."""

MESSAGE = "ünmöglich 100 % %zz 💥"
"""The status message of `Fail`: what percent-encoding has to carry."""
DETAILS = bytes(range(256))
"""The status details of `Fail`: no protobuf at all."""
INITIAL = (
    ("x-first", "1"),
    ("x-double", "a"),
    ("x-double", "b"),
    ("x-bytes-bin", bytes(range(0, 256, 3))),
)
"""The initial metadata of `Echo`, behind `x-arm`."""
TRAILING = (
    ("x-last", "z"),
    ("x-twice", "2"),
    ("x-twice", "1"),
    ("x-tail-bin", b"\x00\xff"),
    ("x-tail-bin", b""),
)
"""The trailing metadata of `Echo`."""


class Ledger:
    """Every call that a handler was entered for, in order, and how it ended."""

    def __init__(self) -> None:
        """Empty."""
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []

    def enter(self, method: str, context: grpc.ServicerContext) -> dict[str, Any]:
        """Notes a call; its `outcome` becomes "done" or "cancelled"."""
        metadata = [
            [key, value.hex() if isinstance(value, bytes) else value]
            for key, value in context.invocation_metadata()
        ]
        entry = {
            "method": method,
            "metadata": metadata,
            "timeout": context.time_remaining(),
            "outcome": "running",
        }
        with self._lock:
            self._entries.append(entry)
        return entry

    def dump(self) -> bytes:
        """All entries as JSON."""
        with self._lock:
            return json.dumps(self._entries).encode()


class Foreign(grpc.GenericRpcHandler):
    """The service, without generated code."""

    def __init__(self, arm: str, *, delay_s: float = 0.0, pad: int = 0) -> None:
        """Answers as `arm`; `Echo` only after a delay, and with so many bytes more."""
        self._arm = arm
        self._delay_s = delay_s
        self._pad = bytes(pad)
        self._ledger = Ledger()
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            ECHO: grpc.unary_unary_rpc_method_handler(self._echo),
            FAIL: grpc.unary_unary_rpc_method_handler(self._fail),
            COUNT: grpc.unary_stream_rpc_method_handler(self._count),
            GATHER: grpc.stream_unary_rpc_method_handler(self._gather),
            CHAT: grpc.stream_stream_rpc_method_handler(self._chat),
            WAIT: grpc.unary_unary_rpc_method_handler(self._wait),
            LEDGER: grpc.unary_unary_rpc_method_handler(lambda _, __: self._ledger.dump()),
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a method."""
        return self._handlers.get(handler_call_details.method)

    def _echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        entry = self._ledger.enter(ECHO, context)
        context.send_initial_metadata((("x-arm", self._arm), *INITIAL))
        context.set_trailing_metadata(TRAILING)
        time.sleep(self._delay_s)
        entry["outcome"] = "done"
        return request + self._pad

    def _fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        entry = self._ledger.enter(FAIL, context)
        entry["outcome"] = "done"
        context.set_trailing_metadata((("grpc-status-details-bin", DETAILS),))
        context.abort(grpc.StatusCode[request.decode()], MESSAGE)
        raise AssertionError("abort raises")

    def _count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        entry = self._ledger.enter(COUNT, context)
        self._notice_the_end(entry, context)
        for index in range(int(request)):
            yield str(index).encode()
        entry["outcome"] = "done"

    def _gather(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        entry = self._ledger.enter(GATHER, context)
        self._notice_the_end(entry, context)
        joined = b"".join(requests)
        entry["outcome"] = "done"
        return joined

    def _chat(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        entry = self._ledger.enter(CHAT, context)
        self._notice_the_end(entry, context)
        for request in requests:
            yield request[::-1]
        entry["outcome"] = "done"

    def _wait(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        entry = self._ledger.enter(WAIT, context)
        ended = threading.Event()
        self._notice_the_end(entry, context, ended.set)
        ended.wait()
        return request

    @staticmethod
    def _notice_the_end(
        entry: dict[str, Any],
        context: grpc.ServicerContext,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        def ended() -> None:
            if entry["outcome"] == "running":
                entry["outcome"] = "cancelled"
            also()

        context.add_callback(ended)
