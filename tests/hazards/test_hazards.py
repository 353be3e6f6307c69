"""What `make hazards` relies on: the catalogue is whole, names fit, calls repeat."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from harness import ROOT, binary

sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "bench")]

import page  # noqa: E402
from calls import Calls  # noqa: E402
from catalogue import HAZARDS, Name  # noqa: E402
from cutover.v1 import operator_pb2 as pb  # noqa: E402
from flags import Flag, flags  # noqa: E402
from trying import Outcome  # noqa: E402


def test_every_broken_candidate_has_its_expected_names() -> None:
    listed = subprocess.run(
        [binary("gazetteer-broken"), "--list-hazards"], check=True, capture_output=True, text=True
    ).stdout
    known = {line.lstrip("* ").split()[0] for line in listed.splitlines()}
    assert {hazard.name for hazard in HAZARDS} == known
    assert all(hazard.expected for hazard in HAZARDS)


@pytest.mark.parametrize(
    ("flag", "fits"),
    [
        (Flag("field", "GetPlace", "visit_count", "value"), True),
        (Flag("field", "GetPlace", "visit_counts", "value"), False),
        (Flag("field", "SearchPlaces", "visit_count", "value"), False),
        (Flag("field", "GetPlace", "visit_count", "order"), False),
        (Flag("operation", "GetPlace", "visit_count", "value"), False),
    ],
)
def test_a_name_fits_only_the_right_place(flag: Flag, fits: bool) -> None:
    assert Name("field", "GetPlace", "visit_count", "value|missing").fits(flag) is fits


def test_only_what_speaks_against_the_candidate_is_a_flag() -> None:
    gates = [
        pb.Gate(name="mismatch", verdict=pb.VERDICT_KIND_ROLLBACK),
        pb.Gate(name="latency", verdict=pb.VERDICT_KIND_WAIT),
        pb.Gate(name="min_calls", verdict=pb.VERDICT_KIND_WAIT),
        pb.Gate(name="paired_errors", verdict=pb.VERDICT_KIND_ADVANCE),
    ]
    ramp = pb.RampStatus(scope="/a.B/C", verdict=pb.Verdict(gates=gates))
    finding = pb.Finding(method="/a.B/C", subject="field", path="d", kind="value")
    report = pb.GetReportResponse(status=pb.Status(ramps=[ramp]), findings=[finding])
    assert flags(report) == [
        Flag("field", "C", "d", "value"),
        Flag("gate", "C", "mismatch", "rollback"),
    ]
    assert flags(pb.GetReportResponse()) == []


def test_the_same_seed_makes_the_same_calls(database: Path) -> None:
    def made(seed: int) -> list[object]:
        return list(islice(Calls(database, seed=seed, writes=True), 300))

    assert made(1) == made(1)
    assert made(1) != made(2)


@pytest.mark.parametrize(
    ("hazard", "clean", "expected"),
    [
        (Outcome("a", named="x"), Outcome("b"), True),
        (Outcome("a", others=["x"]), Outcome("b"), False),
        (Outcome("a", named="x"), Outcome("b", others=["x"]), False),
        (Outcome("a", named="x", trouble="y"), Outcome("b"), False),
    ],
)
def test_a_miss_or_a_false_alarm_is_not_as_expected(
    hazard: Outcome, clean: Outcome, expected: bool
) -> None:
    assert page.as_expected([hazard], [clean]) is expected
    assert ("MISSED" in page.markdown([hazard], [clean], 9)) is not hazard.caught
