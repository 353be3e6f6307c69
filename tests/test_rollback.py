"""How soon a candidate that fails is out of the way, on every proxy."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cutover.v1 import operator_pb2 as pb
from harness import (
    Process,
    manifest,
    rule,
    run_cutover,
    scrape,
    start_broken,
    start_candidate,
    wait_until,
)
from harness.load import load_command
from harness.manifest import write
from harness.planes import ControlPlane, ProxyAlone

SERVICE = "gazetteer.v1.GazetteerService"
METHOD = f"/{SERVICE}/GetPlace"
RATE = 500
"""Calls a second, of both proxies together."""
WITHIN_S = 3.0
ONE_IN = 20
"""The candidate fails 5 % of its calls."""
RAMP = {
    "steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}],
    "gates": {"minCalls": 500, "errorRateMargin": "1%"},
}


class Pair:
    """Two proxies of one control plane, between a good arm and one that fails at times."""

    def __init__(self, plane: ControlPlane, proxies: list[ProxyAlone]) -> None:
        """Around what runs already."""
        self.plane = plane
        self.proxies = proxies

    def sum(self, name: str, **labels: str) -> float:
        """A counter, of both proxies together."""
        return sum(scrape(p.admin).sum(name, **labels) for p in self.proxies)

    def weights(self) -> set[float]:
        """What each proxy goes by."""
        return {scrape(p.admin).sum("cutover_weight_ratio", method=METHOD) for p in self.proxies}


@pytest.fixture
def pair(database: Path, tmp_path: Path, logs: Path) -> Iterator[Pair]:
    """Both proxies at weight 50, and no calls yet."""
    with ExitStack() as stack:
        # Both arms in Rust: the machine is to be busy with calls, not with Python.
        legacy = stack.enter_context(start_candidate(database, logs=logs / "legacy"))
        flaky = ("--hazard", "flaky", "--flaky-every", str(ONE_IN))
        candidate = stack.enter_context(start_broken(database, logs=logs, extra=flaky))
        content = manifest(legacy.url, candidate.url, rules=[rule(SERVICE, "GetPlace")], ramp=RAMP)
        file = write(tmp_path / "cutover.yaml", content)
        plane = ControlPlane(file, store=tmp_path / "cutover.db", logs=logs)
        stack.enter_context(plane)
        proxies = [
            stack.enter_context(ProxyAlone(name, plane.address, logs=logs)) for name in ("a", "b")
        ]
        with plane.operator() as operator:
            operator.promote(why="the candidate is to answer half of the callers")
        for number, proxy in enumerate(proxies):
            flags = {"mode": "open", "rate": RATE / 2, "duration": 300, "keys": 3000}
            command = load_command(
                f"http://{proxy.address}", mix="get=100", database=database, **flags
            )
            stack.enter_context(Process(f"callers-{number}", command, logs=logs))
        yield Pair(plane, proxies)


@pytest.mark.timeout(120)
def test_a_candidate_that_fails_one_call_in_twenty_is_at_0_on_every_proxy_within_3_s(
    pair: Pair,
) -> None:
    failed = {"arm": "candidate", "role": "primary", "code": "UNAVAILABLE"}
    wait_until(lambda: pair.sum("cutover_calls_total", **failed), what="the first bad answer")
    began = time.monotonic()
    wait_until(lambda: pair.weights() == {0.0}, what="weight 0 on both proxies")
    took = time.monotonic() - began
    answered = pair.sum("cutover_calls_total", arm="candidate", role="primary")
    print(f"weight 0 on both proxies {took:.2f} s after the first bad answer was seen, ", end="")
    print(f"when the candidate had answered {answered:.0f} calls")
    assert took < WITHIN_S
    with pair.plane.operator() as operator:
        (ramp,) = operator.status().ramps
        newest = operator.decisions()[0]
    assert ramp.phase == pb.PHASE_DEGRADED
    assert (newest.action, newest.from_bp, newest.to_bp) == ("rollback", 5_000, 0)
    deciding = {gate.name for gate in newest.verdict.gates if gate.verdict == newest.verdict.kind}
    assert deciding == {"error_rate"}
    explained = run_cutover("explain", str(newest.id), "--operator", pair.plane.operator_address)
    assert explained.returncode == 0, explained.stdout + explained.stderr
    assert "judged again from these counters: all" in explained.stdout
    # It stays so, however many good answers follow.
    legacy = pair.sum("cutover_calls_total", arm="legacy", role="primary")
    wait_until(lambda: pair.sum("cutover_calls_total", arm="legacy", role="primary") > legacy + 500)
    after = pair.sum("cutover_calls_total", arm="candidate", role="primary")
    # Only calls that were under way may still have ended.
    assert after <= answered + 5
