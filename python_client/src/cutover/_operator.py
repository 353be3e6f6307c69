"""The operator's API, for threads (`Operator`) and for asyncio (`AsyncOperator`).

Answers are the messages of `cutover.v1`, as they are: they are typed, documented in the contract,
and the dashboard and the command line show the same ones. Weights go in as percent, as everywhere
a person reads or writes one; in the messages they are basis points (`weight_bp`).
"""

from __future__ import annotations

import getpass
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Protocol, TypeVar

import grpc
from typing_extensions import Self

from cutover import _aio, _sync, exceptions
from cutover._config import Retry, Tls
from cutover.v1 import operator_pb2 as pb
from cutover.v1.control_plane_pb2 import Sample
from cutover.v1.operator_pb2_grpc import OperatorServiceStub

ALL: Final = "*"
"""The scope that means every method."""

_RETRY: Final = Retry(contracts=(pb,))
_MAX_LOOKS: Final = 5
"""How often a change looks at a state that others go on changing."""

_Change = TypeVar("_Change", pb.SetWeightRequest, pb.MoveRampRequest)


class _Changed(Protocol):
    @property
    def status(self) -> pb.Status: ...


class Operator:
    """What operators say to the control plane; from any thread.

    Every change names who asks, why, and the revision of the state that it is based on; all three
    are kept in the decision log. `revision` is the `generation` of a `status` that was read: where
    the state has changed since, `Refused` is raised and nothing is done. Without it the change is
    based on the state as it is when it is asked for. A scope is "/package.Service/Method", or "*"
    for all. Each call raises `CutoverError`.
    """

    def __init__(
        self,
        target: str,
        *,
        who: str | None = None,
        deadline: float = 10.0,
        tls: Tls | None = None,
    ) -> None:
        """Opens a channel; nothing is sent yet.

        Args:
            target: HOST:PORT of the control plane.
            who: Who asks for changes; the name of the process's user where unset.
            deadline: Seconds for each call but `watch`.
            tls: TLS towards the control plane; None for clear text.
        """
        self._who = _somebody(who)
        self._channel = _sync.channel(target, deadline=deadline, retry=_RETRY, tls=tls)
        self._stub = OperatorServiceStub(self._channel)

    def status(self) -> pb.Status:
        """The state of everything, now."""
        with _errors():
            return self._stub.GetStatus(pb.GetStatusRequest()).status

    def watch(self) -> Generator[pb.Status, None, None]:
        """The state now, and again whenever it changes; without a deadline.

        The call begins at the first `next` and ends when the iterator is closed.
        """
        with _errors():
            call = self._stub.WatchStatus(pb.WatchStatusRequest(), timeout=math.inf)
            try:
                for response in call:
                    yield response.status
            finally:
                call.cancel()

    def set_weight(
        self, percent: float, *, scope: str = ALL, why: str, revision: int | None = None
    ) -> pb.Status:
        """Overrides the weight until it is reset; 0 to 100 percent, in steps of 0.01."""
        request = _set_weight(percent, scope, self._who, why)
        return self._change(self._stub.SetWeight, request, revision)

    def reset_weight(self, *, scope: str = ALL, why: str, revision: int | None = None) -> pb.Status:
        """Ends an override: the ramp or the manifest decides again."""
        request = _set_weight(None, scope, self._who, why)
        return self._change(self._stub.SetWeight, request, revision)

    def pause(self, *, scope: str = ALL, why: str, revision: int | None = None) -> pb.Status:
        """Stops the ramp where it is; the weight stays."""
        return self._move(pb.RAMP_MOVE_PAUSE, scope, why, revision)

    def resume(self, *, scope: str = ALL, why: str, revision: int | None = None) -> pb.Status:
        """Goes on after a pause, or from weight 0 after a rollback."""
        return self._move(pb.RAMP_MOVE_RESUME, scope, why, revision)

    def promote(
        self, *, full: bool = False, scope: str = ALL, why: str, revision: int | None = None
    ) -> pb.Status:
        """Takes the next step now, or the last one with `full`, whatever the evidence says."""
        move = pb.RAMP_MOVE_PROMOTE_FULL if full else pb.RAMP_MOVE_PROMOTE
        return self._move(move, scope, why, revision)

    def abort(self, *, scope: str = ALL, why: str, revision: int | None = None) -> pb.Status:
        """Back to weight 0, until somebody resumes."""
        return self._move(pb.RAMP_MOVE_ABORT, scope, why, revision)

    def differences(self, *, method: str = "", path: str = "", limit: int = 50) -> Sequence[Sample]:
        """Examples of differences, newest first; at most 500."""
        request = pb.ListDifferencesRequest(method=method, path=path, limit=limit)
        with _errors():
            return self._stub.ListDifferences(request).samples

    def trace_pairs(
        self, *, method: str = "", only_mismatched: bool = False, limit: int = 20
    ) -> Sequence[pb.TracePair]:
        """Pairs of traces with what each arm did, newest first; at most 200."""
        request = pb.ListTracePairsRequest(
            method=method, only_mismatched=only_mismatched, limit=limit
        )
        with _errors():
            return self._stub.ListTracePairs(request).pairs

    def decisions(self, *, limit: int = 50) -> Sequence[pb.Decision]:
        """The decision log, newest first; at most 500."""
        with _errors():
            return self._stub.ListDecisions(pb.ListDecisionsRequest(limit=limit)).decisions

    def explain(self, decision: int) -> pb.Decision:
        """One decision, whole: its gates, the counters they were drawn from (`basis`), examples.

        `cutover explain` draws the verdict from the same counters again.

        Raises:
            Refused: There is no such decision; the message says which ones there are.
        """
        with _errors():
            response = self._stub.ListDecisions(pb.ListDecisionsRequest(id=decision))
            return response.decisions[0]

    def report(self) -> pb.GetReportResponse:
        """The migration report."""
        with _errors():
            return self._stub.GetReport(pb.GetReportRequest())

    def close(self) -> None:
        """Closes the channel and ends what is open."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _move(
        self, move: pb.RampMove.ValueType, scope: str, why: str, revision: int | None
    ) -> pb.Status:
        request = _move_ramp(move, scope, self._who, why)
        return self._change(self._stub.MoveRamp, request, revision)

    def _change(
        self, ask: Callable[[_Change], _Changed], request: _Change, revision: int | None
    ) -> pb.Status:
        with _errors():
            for looks_left in reversed(range(_MAX_LOOKS)):
                request.revision = self.status().generation if revision is None else revision
                try:
                    return ask(request).status
                except grpc.RpcError as error:
                    if revision is not None or not looks_left or not _overtaken(error):
                        raise
        raise AssertionError("the last look returns or raises")


class AsyncOperator:
    """`Operator` for asyncio, exported as `cutover.aio.Operator`: the same methods, awaited."""

    def __init__(
        self,
        target: str,
        *,
        who: str | None = None,
        deadline: float = 10.0,
        tls: Tls | None = None,
    ) -> None:
        """Opens a channel; nothing is sent yet. Arguments as for `Operator`."""
        self._who = _somebody(who)
        self._channel = _aio.channel(target, deadline=deadline, retry=_RETRY, tls=tls)
        self._stub = OperatorServiceStub(self._channel)

    async def status(self) -> pb.Status:
        """The state of everything, now."""
        with _errors():
            return (await self._stub.GetStatus(pb.GetStatusRequest())).status

    async def watch(self) -> AsyncGenerator[pb.Status, None]:
        """The state now, and again whenever it changes; without a deadline."""
        with _errors():
            call = self._stub.WatchStatus(pb.WatchStatusRequest(), timeout=math.inf)
            try:
                async for response in call:
                    yield response.status
            finally:
                call.cancel()

    async def set_weight(
        self, percent: float, *, scope: str = ALL, why: str, revision: int | None = None
    ) -> pb.Status:
        """Overrides the weight until it is reset; 0 to 100 percent, in steps of 0.01."""
        request = _set_weight(percent, scope, self._who, why)
        return await self._change(self._stub.SetWeight, request, revision)

    async def reset_weight(
        self, *, scope: str = ALL, why: str, revision: int | None = None
    ) -> pb.Status:
        """Ends an override: the ramp or the manifest decides again."""
        request = _set_weight(None, scope, self._who, why)
        return await self._change(self._stub.SetWeight, request, revision)

    async def pause(self, *, scope: str = ALL, why: str, revision: int | None = None) -> pb.Status:
        """Stops the ramp where it is; the weight stays."""
        return await self._move(pb.RAMP_MOVE_PAUSE, scope, why, revision)

    async def resume(self, *, scope: str = ALL, why: str, revision: int | None = None) -> pb.Status:
        """Goes on after a pause, or from weight 0 after a rollback."""
        return await self._move(pb.RAMP_MOVE_RESUME, scope, why, revision)

    async def promote(
        self, *, full: bool = False, scope: str = ALL, why: str, revision: int | None = None
    ) -> pb.Status:
        """Takes the next step now, or the last one with `full`, whatever the evidence says."""
        move = pb.RAMP_MOVE_PROMOTE_FULL if full else pb.RAMP_MOVE_PROMOTE
        return await self._move(move, scope, why, revision)

    async def abort(self, *, scope: str = ALL, why: str, revision: int | None = None) -> pb.Status:
        """Back to weight 0, until somebody resumes."""
        return await self._move(pb.RAMP_MOVE_ABORT, scope, why, revision)

    async def differences(
        self, *, method: str = "", path: str = "", limit: int = 50
    ) -> Sequence[Sample]:
        """Examples of differences, newest first; at most 500."""
        request = pb.ListDifferencesRequest(method=method, path=path, limit=limit)
        with _errors():
            return (await self._stub.ListDifferences(request)).samples

    async def trace_pairs(
        self, *, method: str = "", only_mismatched: bool = False, limit: int = 20
    ) -> Sequence[pb.TracePair]:
        """Pairs of traces with what each arm did, newest first; at most 200."""
        request = pb.ListTracePairsRequest(
            method=method, only_mismatched=only_mismatched, limit=limit
        )
        with _errors():
            return (await self._stub.ListTracePairs(request)).pairs

    async def decisions(self, *, limit: int = 50) -> Sequence[pb.Decision]:
        """The decision log, newest first; at most 500."""
        with _errors():
            response = await self._stub.ListDecisions(pb.ListDecisionsRequest(limit=limit))
            return response.decisions

    async def explain(self, decision: int) -> pb.Decision:
        """One decision, whole: its gates, the counters they were drawn from (`basis`), examples.

        `cutover explain` draws the verdict from the same counters again.

        Raises:
            Refused: There is no such decision; the message says which ones there are.
        """
        with _errors():
            response = await self._stub.ListDecisions(pb.ListDecisionsRequest(id=decision))
            return response.decisions[0]

    async def report(self) -> pb.GetReportResponse:
        """The migration report."""
        with _errors():
            return await self._stub.GetReport(pb.GetReportRequest())

    async def close(self) -> None:
        """Closes the channel and ends what is open."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _move(
        self, move: pb.RampMove.ValueType, scope: str, why: str, revision: int | None
    ) -> pb.Status:
        request = _move_ramp(move, scope, self._who, why)
        return await self._change(self._stub.MoveRamp, request, revision)

    async def _change(
        self, ask: Callable[[_Change], Awaitable[_Changed]], request: _Change, revision: int | None
    ) -> pb.Status:
        with _errors():
            for looks_left in reversed(range(_MAX_LOOKS)):
                if revision is None:
                    request.revision = (await self.status()).generation
                else:
                    request.revision = revision
                try:
                    return (await ask(request)).status
                except grpc.RpcError as error:
                    if revision is not None or not looks_left or not _overtaken(error):
                        raise
        raise AssertionError("the last look returns or raises")


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise exceptions.from_rpc_error(error) from error


def _overtaken(error: grpc.RpcError) -> bool:
    return exceptions.from_rpc_error(error).code == grpc.StatusCode.ABORTED


def _set_weight(percent: float | None, scope: str, who: str, why: str) -> pb.SetWeightRequest:
    weight_bp = None if percent is None else _basis_points(percent)
    return pb.SetWeightRequest(scope=scope, weight_bp=weight_bp, who=who, why=why)


def _move_ramp(move: pb.RampMove.ValueType, scope: str, who: str, why: str) -> pb.MoveRampRequest:
    return pb.MoveRampRequest(scope=scope, move=move, who=who, why=why)


def _basis_points(percent: float) -> int:
    if not 0 <= percent <= 100 or abs(percent * 100 - round(percent * 100)) > 1e-6:
        raise ValueError(f"a weight is 0 to 100 percent in steps of 0.01, not {percent}")
    return round(percent * 100)


def _somebody(who: str | None) -> str:
    who = getpass.getuser() if who is None else who
    if not who.strip():
        raise ValueError("who must name somebody: it is kept in the decision log")
    return who
