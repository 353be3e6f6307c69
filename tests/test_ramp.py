"""The ramp moves on evidence: up if the candidate is clean, never if not, and down at once."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cutover.v1 import operator_pb2 as pb
from harness import (
    Arm,
    CutoverUp,
    Process,
    free_port,
    manifest,
    rule,
    run_cutover,
    start_broken,
    start_candidate,
    start_legacy,
    wait_until,
)
from harness.load import load_command
from harness.manifest import Yaml, replace
from harness.paths import copy_database

SERVICE = "gazetteer.v1.GazetteerService"
MIX = "search=30,get=30,nearest=20,list=10,suggest=5,route=5"
RATE = 120
"""Calls a second; each reaches both arms."""
ARRIVE_S = 90.0
ROLLBACK_S = 3.0

RULES = [
    rule(
        SERVICE,
        "SearchPlaces",
        mirror={"percent": 100},
        compare={
            "ignore": ["search_id"],
            "tolerance": {"results[].score": {"relative": 1e-9}},
            "captureValues": True,
        },
    ),
    rule(
        SERVICE,
        "FindNearest",
        mirror={"percent": 100},
        compare={"tolerance": {"results[].distance_m": {"relative": 1e-9}}},
    ),
    rule(mirror={"percent": 100}),
]


def ramp(*weights: float, hold: str = "500ms") -> dict[str, object]:
    """A ramp with short holds and gates that a test can pass."""
    return {
        "scope": "service",
        "interval": "100ms",
        "steps": [{"weight": weight, "hold": hold} for weight in weights],
        "gates": {"minCalls": 50, "errorRateMargin": "2%", "mismatchBelow": "2%"},
    }


@dataclass
class Stage:
    """Both arms with telemetry, `cutover up` between them, and callers."""

    database: Path
    arms: list[Arm]
    content: Yaml
    up: CutoverUp
    otlp: str
    logs: Path

    def status(self) -> pb.Status:
        """Where everything stands."""
        with self.up.operator() as operator:
            return operator.status()

    def ramp(self) -> pb.RampStatus:
        """The one ramp."""
        (only,) = self.status().ramps
        return only

    def deploy_broken(self) -> None:
        """Lets the manifest name a build with porting bugs instead of the candidate."""
        broken = start_broken(self.database, logs=self.logs / "broken", otlp=self.otlp)
        self.arms.append(broken)
        self.content["spec"]["candidate"] = {"url": broken.url}
        replace(self.up.manifest, self.content)


Start = Callable[..., Stage]


@pytest.fixture
def start(database: Path, tmp_path: Path, logs: Path) -> Iterator[Start]:
    """Starts a stage with a ramp; ends it with the test."""
    with ExitStack() as stack:

        def start(candidate: Callable[..., Arm], ramp: dict[str, object]) -> Stage:
            port = free_port()
            otlp = f"127.0.0.1:{port}"
            own = copy_database(database, tmp_path / "own.db")
            arms: list[Arm] = []
            stack.callback(lambda: [arm.stop() for arm in arms])
            for start_arm in (start_legacy, candidate):
                arms.append(start_arm(own, logs=logs, otlp=otlp))
            legacy, other = arms
            content = manifest(legacy.url, other.url, rules=RULES, ramp=ramp)
            up = CutoverUp(content, scratch=tmp_path, logs=logs, control_port=port)
            stack.enter_context(up)
            stage = Stage(own, arms, content, up, otlp, logs)
            flags = {"mode": "open", "rate": RATE, "duration": 600, "keys": 3000, "mix": MIX}
            command = load_command(up.url, database=own, **flags)
            stack.enter_context(Process("callers", command, logs=logs))
            return stage

        yield start


@pytest.mark.timeout(240)
def test_a_clean_candidate_goes_to_100_on_evidence(start: Start) -> None:
    stage = start(start_candidate, ramp(1, 10, 50, 100))
    seen: list[int] = []

    def healthy() -> bool:
        now = stage.ramp()
        assert now.phase != pb.PHASE_DEGRADED, now.reason
        if now.weight_bp not in seen:
            seen.append(now.weight_bp)
        return now.phase == pb.PHASE_HEALTHY

    wait_until(healthy, timeout=ARRIVE_S)
    status = stage.status()
    with stage.up.operator() as operator:
        decisions = [d for d in operator.decisions() if d.who == "ramp"]
        report = operator.report()
    moves = [(d.from_bp, d.to_bp) for d in reversed(decisions)]
    assert moves == [(0, 100), (100, 1_000), (1_000, 5_000), (5_000, 10_000)]
    assert all(decision.why for decision in decisions)
    for decision in decisions:
        explained = run_cutover(
            "explain", str(decision.id), "--operator", stage.up.operator_address
        )
        assert explained.returncode == 0, explained.stdout + explained.stderr
        assert "judged again from these counters: all" in explained.stdout
    assert seen[-1] == 10_000
    assert report.compared >= 50
    assert report.mismatched == 0
    assert not report.findings
    # What both arms did was compared, too.
    traces = [method.traces for method in status.methods if method.traces.compared]
    assert traces
    assert sum(trace.mismatched for trace in traces) == 0
    assert {process.arm for process in status.processes} == {1, 2}


@pytest.mark.timeout(240)
def test_a_broken_candidate_never_answers_a_client(start: Start) -> None:
    stage = start(start_broken, ramp(1, 10, 50, 100))

    def judged() -> bool:
        now = stage.ramp()
        assert now.weight_bp == 0
        # Nobody was hurt, so it is held, and not latched.
        assert now.phase == pb.PHASE_PROGRESSING
        return now.reason != ""

    wait_until(judged, timeout=60)
    wait_until(lambda: sum(m.pairs.compared for m in stage.status().methods) >= 500, timeout=60)
    assert stage.ramp().weight_bp == 0
    answered = stage.up.metrics().sum("cutover_calls_total", arm="candidate", role="primary")
    assert answered == 0
    with stage.up.operator() as operator:
        (held,) = (decision for decision in operator.decisions() if decision.who == "ramp")
    assert (held.action, held.from_bp, held.to_bp) == ("hold", 0, 0)
    explained = run_cutover("explain", str(held.id), "--operator", stage.up.operator_address)
    assert explained.returncode == 0, explained.stdout + explained.stderr
    assert "judged again from these counters: all" in explained.stdout
    wait_until(lambda: "operation" in {f.subject for f in _findings(stage)}, timeout=60)
    named = {(finding.subject, finding.method.rpartition("/")[2]) for finding in _findings(stage)}
    assert ("field", "SearchPlaces") in named
    assert ("operation", "GetPlace") in named
    done = run_cutover("report", "--operator", stage.up.operator_address)
    assert done.returncode in (0, 1), done.stderr
    assert "results[].score" in done.stdout
    assert "SearchPlaces" in done.stdout


@pytest.mark.timeout(240)
def test_a_bad_build_in_mid_ramp_is_rolled_back_at_once(start: Start) -> None:
    stage = start(start_candidate, ramp(10, 100, hold="600s"))
    wait_until(lambda: stage.ramp().weight_bp == 1_000, timeout=ARRIVE_S)
    stage.deploy_broken()
    deployed = time.monotonic()
    wait_until(lambda: stage.ramp().phase == pb.PHASE_DEGRADED, timeout=30)
    assert time.monotonic() - deployed < ROLLBACK_S
    assert stage.ramp().weight_bp == 0
    with stage.up.operator() as operator:
        newest = operator.decisions()[0]
    assert (newest.action, newest.from_bp, newest.to_bp) == ("rollback", 1_000, 0)
    assert newest.why
    explained = run_cutover("explain", str(newest.id), "--operator", stage.up.operator_address)
    assert explained.returncode == 0, explained.stdout + explained.stderr
    assert "NOT reproduced" not in explained.stdout
    assert "differences seen last before it" in explained.stdout
    # The proxy goes by it: from now on the candidate answers nobody.
    with stage.up.operator() as operator:
        generation = operator.status().generation
    wait_until(lambda: stage.up.metrics().sum("cutover_route_table_generation") >= generation)
    answered = _answered(stage)
    legacy = stage.up.metrics().sum("cutover_calls_total", arm="legacy", role="primary")
    wait_until(
        lambda: (
            stage.up.metrics().sum("cutover_calls_total", arm="legacy", role="primary")
            > legacy + 100
        )
    )
    # Only calls that were under way then may still have ended.
    assert _answered(stage) <= answered + 5


def _answered(stage: Stage) -> float:
    return stage.up.metrics().sum("cutover_calls_total", arm="candidate", role="primary")


def _findings(stage: Stage) -> list[pb.Finding]:
    with stage.up.operator() as operator:
        return list(operator.report().findings)
