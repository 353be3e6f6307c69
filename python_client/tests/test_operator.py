"""The operator's API, against a fake control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from fakes import WAIT_S, FakeOperator

import cutover
from cutover.v1 import operator_pb2 as pb

SEARCH = "/gazetteer.v1.GazetteerService/SearchPlaces"
CHANGES = [
    pb.SetWeightRequest(scope="*", weight_bp=1250, who="ada", why="ready", revision=41),
    pb.SetWeightRequest(scope=SEARCH, weight_bp=0, who="ada", why="too slow", revision=41),
    pb.SetWeightRequest(scope="*", who="ada", why="over", revision=41),
    pb.MoveRampRequest(scope="*", move=pb.RAMP_MOVE_PAUSE, who="ada", why="lunch", revision=41),
    pb.MoveRampRequest(scope=SEARCH, move=pb.RAMP_MOVE_RESUME, who="ada", why="fed", revision=41),
    pb.MoveRampRequest(scope="*", move=pb.RAMP_MOVE_PROMOTE, who="ada", why="good", revision=41),
    pb.MoveRampRequest(
        scope="*", move=pb.RAMP_MOVE_PROMOTE_FULL, who="ada", why="best", revision=41
    ),
    pb.MoveRampRequest(scope="*", move=pb.RAMP_MOVE_ABORT, who="ada", why="bad", revision=41),
]


def _changes(control: FakeOperator) -> list[object]:
    """What was asked for, but for the looks at the state."""
    requests = [seen.request for seen in control.seen]
    return [request for request in requests if request != pb.GetStatusRequest()]


@pytest.fixture
def operator(control_target: str) -> Iterator[cutover.Operator]:
    with cutover.Operator(control_target, who="ada") as operator:
        yield operator


@pytest.fixture
async def async_operator(control_target: str) -> AsyncIterator[cutover.aio.Operator]:
    async with cutover.aio.Operator(control_target, who="ada") as operator:
        yield operator


def test_every_change_says_who_and_why(control: FakeOperator, operator: cutover.Operator) -> None:
    assert operator.set_weight(12.5, why="ready").name == "fake"
    operator.set_weight(0, scope=SEARCH, why="too slow")
    operator.reset_weight(why="over")
    operator.pause(why="lunch")
    operator.resume(scope=SEARCH, why="fed")
    operator.promote(why="good")
    operator.promote(full=True, why="best")
    operator.abort(why="bad")
    assert _changes(control) == CHANGES


async def test_every_change_says_who_and_why_aio(
    control: FakeOperator, async_operator: cutover.aio.Operator
) -> None:
    operator = async_operator
    assert (await operator.set_weight(12.5, why="ready")).name == "fake"
    await operator.set_weight(0, scope=SEARCH, why="too slow")
    await operator.reset_weight(why="over")
    await operator.pause(why="lunch")
    await operator.resume(scope=SEARCH, why="fed")
    await operator.promote(why="good")
    await operator.promote(full=True, why="best")
    await operator.abort(why="bad")
    assert _changes(control) == CHANGES


def test_a_change_is_based_on_what_was_read_and_else_looks_again(
    control: FakeOperator, operator: cutover.Operator
) -> None:
    overtaken = (grpc.StatusCode.ABORTED, "the state is at revision 41", ())
    control.failures["MoveRamp"] = [overtaken, overtaken]
    operator.pause(why="lunch")
    asked = pb.MoveRampRequest(
        scope="*", move=pb.RAMP_MOVE_PAUSE, who="ada", why="lunch", revision=41
    )
    assert _changes(control) == [asked] * 3
    assert len(control.seen) == 6
    control.failures["SetWeight"] = [overtaken]
    with pytest.raises(cutover.Refused, match="revision 41"):
        operator.set_weight(1, why="seen at 40", revision=40)
    assert _changes(control)[3:] == [
        pb.SetWeightRequest(scope="*", weight_bp=100, who="ada", why="seen at 40", revision=40)
    ]


async def test_a_change_is_based_on_what_was_read_and_else_looks_again_aio(
    control: FakeOperator, async_operator: cutover.aio.Operator
) -> None:
    overtaken = (grpc.StatusCode.ABORTED, "the state is at revision 41", ())
    control.failures["MoveRamp"] = [overtaken, overtaken]
    await async_operator.pause(why="lunch")
    assert len(_changes(control)) == 3
    control.failures["SetWeight"] = [overtaken]
    with pytest.raises(cutover.Refused, match="revision 41"):
        await async_operator.set_weight(1, why="seen at 40", revision=40)


def test_reads_what_the_control_plane_knows(
    control: FakeOperator, operator: cutover.Operator
) -> None:
    assert operator.status().name == "fake"
    assert [s.id for s in operator.differences(method=SEARCH, path="score", limit=2)] == [3, 2]
    assert [p.trace_id for p in operator.trace_pairs(only_mismatched=True)] == ["1" * 32]
    assert [d.action for d in operator.decisions(limit=1)] == ["pause"]
    assert operator.explain(9).id == 9
    assert operator.report().compared == 1000
    assert [seen.request for seen in control.seen] == [
        pb.GetStatusRequest(),
        pb.ListDifferencesRequest(method=SEARCH, path="score", limit=2),
        pb.ListTracePairsRequest(only_mismatched=True, limit=20),
        pb.ListDecisionsRequest(limit=1),
        pb.ListDecisionsRequest(id=9),
        pb.GetReportRequest(),
    ]


async def test_reads_what_the_control_plane_knows_aio(
    async_operator: cutover.aio.Operator,
) -> None:
    assert (await async_operator.status()).name == "fake"
    assert [s.id for s in await async_operator.differences()] == [3, 2]
    assert [p.trace_id for p in await async_operator.trace_pairs()] == ["1" * 32]
    assert [d.action for d in await async_operator.decisions()] == ["pause"]
    assert (await async_operator.explain(9)).action == "pause"
    assert (await async_operator.report()).mismatched == 1


def test_watches_until_closed_without_a_deadline(
    control: FakeOperator, operator: cutover.Operator
) -> None:
    states = operator.watch()
    assert [next(states).generation for _ in range(3)] == [0, 1, 2]
    states.close()
    assert control.ended.get(timeout=WAIT_S) == "WatchStatus"
    (seen,) = control.seen
    assert seen.time_remaining is None or seen.time_remaining > 1e9


async def test_watches_until_closed_aio(
    control: FakeOperator, async_operator: cutover.aio.Operator
) -> None:
    states = async_operator.watch()
    assert [(await anext(states)).generation for _ in range(3)] == [0, 1, 2]
    await states.aclose()
    assert control.ended.get(timeout=WAIT_S) == "WatchStatus"


@pytest.mark.parametrize("percent", [-0.01, 100.01, 12.345, float("nan")])
def test_refuses_a_weight_that_is_none(
    percent: float, control: FakeOperator, operator: cutover.Operator
) -> None:
    with pytest.raises(ValueError, match=r"steps of 0\.01"):
        operator.set_weight(percent, why="typo")
    assert control.seen == []


@pytest.mark.parametrize("percent", [0.01, 0.29, 33.33, 99.99, 100])
def test_a_weight_is_exact_in_basis_points(
    percent: float, control: FakeOperator, operator: cutover.Operator
) -> None:
    operator.set_weight(percent, why="ready")
    (request,) = _changes(control)
    assert isinstance(request, pb.SetWeightRequest)
    assert request.weight_bp / 100 == percent


def test_somebody_must_ask(control_target: str) -> None:
    with pytest.raises(ValueError, match="who must name somebody"):
        cutover.Operator(control_target, who=" ")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, cutover.Refused),
        (grpc.StatusCode.NOT_FOUND, cutover.Refused),
        (grpc.StatusCode.FAILED_PRECONDITION, cutover.Refused),
        (grpc.StatusCode.UNAVAILABLE, cutover.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, cutover.DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, cutover.CutoverError),
    ],
)
def test_each_status_has_its_exception(
    control: FakeOperator,
    operator: cutover.Operator,
    code: grpc.StatusCode,
    kind: type[cutover.CutoverError],
) -> None:
    control.fail("MoveRamp", code, "made up")
    with pytest.raises(cutover.CutoverError) as failure:
        operator.promote(why="good")
    assert type(failure.value) is kind
    assert (failure.value.code, failure.value.message) == (code, "made up")
    assert control.attempts()["MoveRamp"] == 1
