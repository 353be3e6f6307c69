"""What a person does to a ramp, by the command line, and what the proxy then goes by."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cutover.v1 import operator_pb2 as pb
from gazetteer.v1 import gazetteer_pb2 as places
from harness import Arm, CutoverUp, manifest, rule, run_cutover, start_broken, wait_until

SERVICE = "gazetteer.v1.GazetteerService"
SEARCH = f"/{SERVICE}/SearchPlaces"
RULES = [rule(SERVICE, "SearchPlaces", mirror={"percent": 100}, compare={"ignore": ["search_id"]})]
RAMP = {
    "scope": "method",
    "interval": "100ms",
    "steps": [{"weight": 10, "hold": "1h"}, {"weight": 50, "hold": "1h"}, {"weight": 100}],
    # Reachable for what is wrong, and for nothing that is right.
    "gates": {"minCalls": 1_000_000, "mismatchBelow": "5%"},
}


@pytest.fixture
def up(legacy: Arm, candidate: Arm, tmp_path: Path, logs: Path) -> Iterator[CutoverUp]:
    """Both arms, with one ramp that no evidence moves up."""
    content = manifest(legacy.url, candidate.url, rules=RULES, ramp=RAMP)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        _search(up)
        yield up


def test_each_move_is_told_to_the_proxy_and_kept_in_the_log(up: CutoverUp) -> None:
    def operate(*words: str, weight: float, phase: pb.Phase.ValueType) -> None:
        done = run_cutover(*words, "--why", "a test", "--operator", up.operator_address)
        assert done.returncode == 0, done.stderr
        assert _ramp(up).phase == phase, words
        wait_until(lambda: _weight(up) == weight, what=f"{words}: the proxy goes by {weight}")

    moves: list[tuple[tuple[str, ...], float, pb.Phase.ValueType]] = [
        (("promote",), 0.1, pb.PHASE_PROGRESSING),
        (("pause",), 0.1, pb.PHASE_PAUSED),
        (("resume",), 0.1, pb.PHASE_PROGRESSING),
        (("weight", "SearchPlaces", "37.5"), 0.375, pb.PHASE_PROGRESSING),
        (("weight", "SearchPlaces", "--reset"), 0.1, pb.PHASE_PROGRESSING),
        (("promote", "--full"), 1.0, pb.PHASE_HEALTHY),
        (("abort",), 0.0, pb.PHASE_DEGRADED),
    ]
    for words, weight, phase in moves:
        operate(*words, weight=weight, phase=phase)
    # Latched: only a person's resume lets it move again.
    refused = run_cutover("promote", "--why", "a test", "--operator", up.operator_address)
    assert refused.returncode != 0
    assert "resume" in refused.stderr
    assert _weight(up) == 0
    operate("resume", weight=0, phase=pb.PHASE_PROGRESSING)
    operate("promote", weight=0.1, phase=pb.PHASE_PROGRESSING)
    with up.operator() as operator:
        log = [decision.action for decision in reversed(operator.decisions())]
    assert log == [
        *("promote", "pause", "resume", "override", "reset", "promote", "abort"),
        *("resume", "promote"),
    ]


def test_a_change_that_is_replayed_is_refused_and_logged(up: CutoverUp, logs: Path) -> None:
    with up.operator() as operator:
        seen = operator.status().generation
    request = pb.MoveRampRequest(
        scope="*", move=pb.RAMP_MOVE_PROMOTE, who="ada", why="seen enough", revision=seen
    )
    with grpc.insecure_channel(up.operator_address) as channel:
        move = channel.unary_unary("/cutover.v1.OperatorService/MoveRamp")
        sent = request.SerializeToString()
        move(sent, timeout=30)
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as refused:
                move(sent, timeout=30)
            assert refused.value.code() == grpc.StatusCode.ABORTED
            assert f"based on revision {seen}" in refused.value.details()
    stale = run_cutover(
        *("weight", "--all", "100", "--why", "late", "--revision", str(seen)),
        *("--operator", up.operator_address),
    )
    assert stale.returncode == 1
    assert "`cutover status`" in stale.stderr
    assert _ramp(up).weight_bp == 1_000
    with up.operator() as operator:
        (only,) = operator.decisions()
    assert (only.action, only.revision) == ("promote", seen)
    log = "".join(file.read_text("utf-8") for file in logs.rglob("*") if file.is_file())
    assert log.count("refused an operator's change") == 3


def test_a_step_is_held_for_its_time_however_good_the_evidence(up: CutoverUp) -> None:
    run_cutover("promote", "--why", "a test", "--operator", up.operator_address)
    ramp = _ramp(up)
    assert (ramp.weight_bp, ramp.hold_ms) == (1_000, 3_600_000)
    hold = wait_until(lambda: [g for g in _ramp(up).verdict.gates if g.name == "hold"])
    assert "of 3600.0 s" in hold[0].reason


def test_at_weight_100_the_legacy_is_asked_as_shadow_and_a_difference_rolls_back(
    legacy: Arm, database: Path, tmp_path: Path, logs: Path
) -> None:
    hazard = ("--hazard", "main-name-matched")
    with start_broken(database, logs=logs, extra=hazard) as broken:
        content = manifest(legacy.url, broken.url, rules=RULES, ramp=RAMP)
        with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
            done = run_cutover(
                "promote", "--full", "--why", "a test", "--operator", up.operator_address
            )
            assert done.returncode == 0, done.stderr
            wait_until(lambda: _ramp(up).weight_bp == 10_000)

            def rolled_back() -> bool:
                _search(up)
                return bool(_ramp(up).phase == pb.PHASE_DEGRADED)

            wait_until(rolled_back, timeout=60)
            assert _weight(up) == 0
            shadows = {"method": SEARCH, "arm": "legacy", "role": "shadow"}
            assert up.metrics().sum("cutover_calls_total", **shadows) > 0
            with up.operator() as operator:
                newest = operator.decisions(limit=1)[0]
                seen = {field.path for field in operator.status().methods[0].fields}
            assert (newest.action, newest.from_bp, newest.to_bp) == ("rollback", 10_000, 0)
            assert "results[].matched_name" in seen


def _search(up: CutoverUp) -> None:
    with up.channel() as channel:
        ask = channel.unary_unary(SEARCH)
        # Names that match by another one than the main: what the broken candidate gets wrong.
        for query in ("Wien", "Moskau", "Peking", "Köbenhavn"):
            request = places.SearchPlacesRequest(query=query, limit=3)
            ask(request.SerializeToString(), timeout=30)


def _ramp(up: CutoverUp) -> pb.RampStatus:
    with up.operator() as operator:
        (ramp,) = operator.status().ramps
    return ramp


def _weight(up: CutoverUp) -> float:
    return up.metrics().sum("cutover_weight_ratio", method=SEARCH)
