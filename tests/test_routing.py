"""Which arm answers: weights, sticky keys, the override header, and what is never mirrored."""

import math
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from foreign.backend import Backend, key_of
from foreign.descriptors import write_descriptors
from foreign.service import ECHO, FAIL, SERVICE
from gazetteer import GazetteerClient
from harness import (
    CutoverUp,
    manifest,
    rule,
    run_load,
    start_candidate,
    start_legacy,
    wait_until,
)
from harness.paths import copy_database

CALLS = 20_000
SIGMAS = 4.5
"""A split further out than this comes by chance once in 150,000 runs."""
OVERRIDE = "x-cutover-arm"


def test_the_split_is_binomial_and_raising_the_weight_moves_no_key_back(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    rules = [rule(weight=25)]
    content = manifest(foreign_legacy.url, foreign_candidate.url, rules=rules)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        load = _all_keys(up)
        assert _within_bounds(load["candidate"], 0.25)
        before = {key_of(entry) for entry in foreign_candidate.ledger(ECHO)}
        assert len(before) == load["candidate"]
        with up.operator() as operator:
            operator.set_weight(50, why="a test")
        _until_applied(up)
        load = _all_keys(up)
        assert _within_bounds(load["candidate"], 0.5)
        after = {key_of(entry) for entry in foreign_candidate.ledger(ECHO)[len(before) :]}
        assert before <= after
        assert up.metrics().sum("cutover_calls_total", arm="candidate", role="shadow") == 0


def test_a_sticky_key_stays_on_its_arm(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_candidate.url, rules=[rule(weight=50)])
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        for _ in range(3):
            run_load(up.url, path=ECHO, calls=300, keys=100, duration=30)
    users = [
        {key_of(entry) for entry in arm.ledger(ECHO)} for arm in (foreign_legacy, foreign_candidate)
    ]
    assert users[0].isdisjoint(users[1])
    assert all(users)
    assert len(users[0] | users[1]) == 100


@pytest.mark.parametrize("allowed", [False, True])
def test_the_override_header_counts_only_where_it_is_allowed(
    allowed: bool,
    foreign_legacy: Backend,
    foreign_candidate: Backend,
    tmp_path: Path,
    logs: Path,
) -> None:
    content = manifest(
        foreign_legacy.url, foreign_candidate.url, rules=[rule(weight=0)], override=allowed
    )
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        for _ in range(20):
            _, call = channel.unary_unary(ECHO).with_call(
                b"", timeout=10, metadata=((OVERRIDE, "candidate"),)
            )
            arm = dict(call.initial_metadata())["x-arm"]
            assert arm == ("candidate" if allowed else "legacy")
    entries = foreign_legacy.ledger(ECHO) + foreign_candidate.ledger(ECHO)
    assert len(entries) == 20
    assert all(key_of(entry, OVERRIDE) is None for entry in entries)


@pytest.mark.parametrize("known", [False, True])
def test_a_method_of_unknown_effects_is_not_mirrored(
    known: bool, foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(
        foreign_legacy.url,
        foreign_candidate.url,
        rules=[rule(weight=0, mirror={"percent": 100})],
        descriptors=write_descriptors(tmp_path / "foreign.bin") if known else None,
    )
    # With descriptors, Fail is known but does not say that it has no side effects.
    method = FAIL if known else ECHO
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        for _ in range(30):
            call = channel.unary_unary(method).future(b"NOT_FOUND", timeout=10)
            assert (call.code() == grpc.StatusCode.NOT_FOUND) is known
        assert up.metrics().sum("cutover_calls_total", arm="legacy", role="primary") == 30
    assert len(foreign_legacy.ledger(method)) == 30
    assert foreign_candidate.ledger() == []


@pytest.mark.parametrize("accepted", [False, True])
def test_the_handler_of_a_shadow_call_runs(
    accepted: bool, foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    # A method without side effects is mirrored, and another one where the manifest accepts it.
    method = FAIL if accepted else ECHO
    mirror = {"percent": 100} | ({"acceptSideEffects": True} if accepted else {})
    content = manifest(
        foreign_legacy.url,
        foreign_candidate.url,
        rules=[rule(SERVICE, method.rpartition("/")[2], weight=0, mirror=mirror)],
        descriptors=write_descriptors(tmp_path / "foreign.bin"),
    )
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:

        def call(key: str) -> None:
            ended = channel.unary_unary(method).future(
                b"ABORTED", timeout=10, metadata=(("x-user-id", key),)
            )
            assert (ended.code() == grpc.StatusCode.ABORTED) is accepted

        def mirrors() -> bool:
            call("first")
            return bool(foreign_candidate.ledger(method))

        def counted(backend: Backend) -> list[dict[str, Any]]:
            return [entry for entry in backend.ledger(method) if key_of(entry) != "first"]

        # Nothing is mirrored until the descriptors are read, which happens beside the calls.
        wait_until(mirrors)
        for index in range(40):
            call(f"key-{index}")
        wait_until(lambda: len(counted(foreign_candidate)) >= 40)
        primary, shadow = counted(foreign_legacy), counted(foreign_candidate)
    assert {key_of(entry) for entry in shadow} == {key_of(entry) for entry in primary}
    assert len(shadow) == 40
    # Both copies hang in one trace, below spans of their own.
    traces = [
        {str(key_of(entry, "traceparent")).split("-")[1] for entry in entries}
        for entries in (primary, shadow)
    ]
    assert traces[0] == traces[1]
    assert len(traces[0]) == 40
    assert all("cutover" in str(key_of(entry, "baggage")) for entry in shadow)
    assert all(key_of(entry, "baggage") is None for entry in primary)


@pytest.fixture
def written(database: Path, tmp_path: Path, logs: Path) -> Iterator[tuple[CutoverUp, list[Path]]]:
    """A proxy that mirrors all it may, between arms with a database of their own each."""
    copies = [copy_database(database, tmp_path / f"{arm}.db") for arm in ("legacy", "candidate")]
    with ExitStack() as stack:
        legacy = stack.enter_context(start_legacy(copies[0], logs=logs))
        candidate = stack.enter_context(start_candidate(copies[1], logs=logs))
        rules = [rule(mirror={"percent": 100}, compare={"ignore": ["search_id"]})]
        content = manifest(legacy.url, candidate.url, rules=rules)
        yield stack.enter_context(CutoverUp(content, scratch=tmp_path, logs=logs)), copies


def test_a_write_is_never_mirrored(written: tuple[CutoverUp, list[Path]]) -> None:
    up, (legacy, candidate) = written

    def compared() -> float:
        return up.metrics().sum("cutover_pairs_compared_total")

    with GazetteerClient.connect(up.address) as client:
        # Nothing is mirrored before the descriptors have come.
        wait_until(lambda: client.search_places("Zürich") and compared() > 0)
        for index in range(100):
            client.record_visit(2657896, f"visitor {index}")
            client.search_places("Zürich")
    # The reads came to the candidate, so the writes had every chance to.
    wait_until(lambda: compared() > 100)
    assert _visits(legacy) == 100
    assert _visits(candidate) == 0


def _visits(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM visits").fetchone()
    return int(count)


def _all_keys(up: CutoverUp) -> dict[str, int]:
    load = run_load(
        up.url, path=ECHO, calls=CALLS, keys=CALLS, tally="x-arm", duration=100, concurrency=32
    )
    assert load.by_status == {"OK": CALLS}
    return load.tally


def _within_bounds(candidate_calls: int, share: float) -> bool:
    deviation = math.sqrt(CALLS * share * (1 - share))
    return abs(candidate_calls - CALLS * share) <= SIGMAS * deviation


def _until_applied(up: CutoverUp) -> None:
    """Waits until the proxy routes by the newest table."""
    with up.operator() as operator:
        newest = operator.status().generation
    wait_until(lambda: up.metrics().sum("cutover_route_table_generation") >= newest)


def test_the_status_tells_the_weight_of_each_replica(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_candidate.url, rules=[rule(weight=0)])
    with (
        CutoverUp(content, scratch=tmp_path, logs=logs) as up,
        up.operator() as operator,
        grpc.insecure_channel(up.address) as channel,
    ):
        channel.unary_unary(ECHO)(b"", timeout=10)
        status = operator.set_weight(12.5, why="a test")
        assert [override.weight_bp for override in status.overrides] == [1250]
        _until_applied(up)
        (proxy,) = operator.status().proxies
        assert proxy.connected
        assert proxy.applied_generation == operator.status().generation
        status = operator.reset_weight(why="the test is over")
        assert not status.overrides
