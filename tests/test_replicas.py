"""Two control planes on one Postgres: their evidence adds up, and one goes on without the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cutover.v1 import operator_pb2 as pb
from harness import manifest, rule, run_load, scrape, start_candidate, wait_until
from harness.manifest import write
from harness.paths import copy_database
from harness.planes import ControlPlane, PlayedProxy, ProxyAlone
from harness.postgres import Postgres
from harness.router import Router

CALLS = 300
MIX = "search=30,get=40,nearest=30"
NOBODY = "http://127.0.0.1:1"
TAKEN_OVER_S = 15.0
"""A lease lasts four seconds; the rest is for a machine that has much else to do."""


@pytest.fixture
def postgres(tmp_path: Path, logs: Path) -> Iterator[Postgres]:
    """A Postgres with an empty database."""
    with Postgres(tmp_path / "postgres", logs=logs) as server:
        yield server


@pytest.mark.timeout(180)
def test_what_two_control_planes_hear_adds_up_in_the_report_of_either(
    database: Path, postgres: Postgres, tmp_path: Path, logs: Path
) -> None:
    own = copy_database(database, tmp_path / "own.db")
    with ExitStack() as stack:
        router = stack.enter_context(Router())
        otlp = router.address
        legacy = stack.enter_context(start_candidate(own, logs=logs, otlp=otlp, arm="legacy"))
        candidate = stack.enter_context(start_candidate(own, logs=logs, otlp=otlp))
        arms = manifest(legacy.url, candidate.url, rules=[rule(mirror={"percent": 100})])
        file = write(tmp_path / "cutover.yaml", arms)
        planes = [
            stack.enter_context(
                ControlPlane(file, store=postgres.url, logs=logs, name=f"control-{which}")
            )
            for which in "ab"
        ]
        router.to([plane.address for plane in planes])
        proxies = [
            stack.enter_context(
                ProxyAlone(f"proxy-{plane}", planes[plane].address, logs=logs, otlp=router.address)
            )
            for plane in range(2)
        ]
        for proxy in proxies:
            _until_mirrored(proxy, own)
            load = run_load(
                f"http://{proxy.address}", mix=MIX, database=own, calls=CALLS, duration=60
            )
            assert load.by_status.get("OK", 0) > CALLS // 2
        operators = [stack.enter_context(plane.operator()) for plane in planes]

        def reports() -> list[tuple[int, int, int]]:
            return [_figures(operator.report()) for operator in operators]

        def agree() -> bool:
            one, other = reports()
            return one == other and one[0] >= 2 * CALLS and one[2] >= 2 * CALLS * 9 // 10

        wait_until(agree, timeout=60, what=f"both have all of it: {reports()}")
        shares = [len(ids) for ids in router.trace_ids]
        assert min(shares) > CALLS // 4, f"both have got spans: {shares}"
        statuses = [operator.status() for operator in operators]
        for status in statuses:
            connected = [proxy for proxy in status.proxies if proxy.connected]
            assert len(connected) == 2
        leaders = {status.store.leader for status in statuses}
        assert len(leaders) == 1
        assert leaders < {status.store.replica for status in statuses}


@pytest.mark.timeout(120)
def test_when_the_leader_is_killed_the_other_goes_on_where_the_ramp_stood(
    postgres: Postgres, tmp_path: Path, logs: Path
) -> None:
    steps = [{"weight": weight, "hold": "1500ms"} for weight in (1, 10, 50, 99)]
    ramp = {
        "scope": "service",
        "interval": "100ms",
        "steps": steps,
        "gates": {"minCalls": 100, "errorRateMargin": "10%", "mismatchBelow": "10%"},
    }
    file = write(tmp_path / "cutover.yaml", manifest(NOBODY, NOBODY, ramp=ramp))
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                ControlPlane(file, store=postgres.url, logs=logs, name=f"control-{which}")
            )
            for which in "ab"
        )
        operator = stack.enter_context(second.operator())

        def leads() -> bool:
            store = operator.status().store
            return store.leader == store.replica

        wait_until(lambda: operator.status().store.leader != "", what="one of them leads")
        assert not leads()
        played = PlayedProxy(second.address)
        stack.callback(played.close)
        wait_until(lambda: _step(operator.status) == 1, timeout=30, what="the second step")
        seen = len(operator.decisions())
        first.kill()
        killed = time.monotonic()
        wait_until(leads, timeout=TAKEN_OVER_S, what="the other one leads")
        assert time.monotonic() - killed < TAKEN_OVER_S
        assert _step(operator.status) >= 1
        wait_until(lambda: _step(operator.status) == 3, timeout=30, what="the last step")
        decisions = [d for d in reversed(operator.decisions()) if d.action == "advance"]
        assert [(d.from_bp, d.to_bp) for d in decisions] == [
            (0, 100),
            (100, 1_000),
            (1_000, 5_000),
            (5_000, 9_900),
        ]
        assert len(decisions) > seen, "it has decided itself"


def _step(status: Callable[[], pb.Status]) -> int:
    ramps = status().ramps
    return ramps[0].step if ramps else -1


def _figures(report: pb.GetReportResponse) -> tuple[int, int, int]:
    traces = sum(method.traces.compared for method in report.status.methods)
    return report.compared, report.mismatched, traces


def _until_mirrored(proxy: ProxyAlone, database: Path) -> None:
    """Descriptors come from the arms' reflection, a moment after the table."""

    def compared() -> bool:
        run_load(f"http://{proxy.address}", mix=MIX, database=database, calls=5, duration=30)
        return scrape(proxy.admin).sum("cutover_pairs_compared_total") > 0

    wait_until(compared, timeout=30, what="calls are mirrored")
