"""Both arms give the same answers: to the corpus, and to calls made by chance."""

import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from generated import Maker
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from harness import Arm, start_candidate, start_legacy
from harness.paths import copy_database
from runner import METHODS, Answer, Case, ask, load_cases, run_case

GENERATED_CALLS = 2_000
"""Calls for each method."""
SEED = 20_261_122
RELATIVE = 1e-9
"""How far two floats may be apart; all else agrees exactly."""
WRITE = "record_visit"

_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


@pytest.fixture
def pair(database: Path, tmp_path: Path, logs: Path) -> Iterator[tuple[Arm, Arm]]:
    """Both arms, each with a fresh copy of the database of its own."""
    with ExitStack() as stack:
        legacy = start_legacy(copy_database(database, tmp_path / "legacy.db"), logs=logs)
        stack.enter_context(legacy)
        candidate = start_candidate(copy_database(database, tmp_path / "candidate.db"), logs=logs)
        yield legacy, stack.enter_context(candidate)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arm", ["legacy", "candidate"])
def test_an_arm_answers_the_corpus(arm: str, pair: tuple[Arm, Arm]) -> None:
    wrong = {}
    total = 0
    with dict(zip(("legacy", "candidate"), pair, strict=True))[arm].channel() as channel:
        for method in METHODS:
            for case in load_cases(method):
                total += 1
                if found := run_case(channel, case):
                    wrong[f"{method}: {case['name']}"] = found
    assert not wrong
    assert total >= 300


@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", [method for method in METHODS if method != WRITE])
def test_arms_agree_on_generated_calls(
    method: str, database: Path, legacy: Arm, candidate: Arm
) -> None:
    cases = list(Maker(database, SEED).cases(method, GENERATED_CALLS))
    with (
        legacy.channel() as one,
        candidate.channel() as other,
        ThreadPoolExecutor(4) as threads,
    ):
        pairs = list(threads.map(lambda case: (case, ask(one, case), ask(other, case)), cases))
    check_agreement(pairs)


@pytest.mark.timeout(300)
def test_arms_agree_on_generated_writes(database: Path, pair: tuple[Arm, Arm]) -> None:
    cases = list(Maker(database, SEED).cases(WRITE, GENERATED_CALLS))

    def in_order(arm: Arm) -> list[Answer]:
        with arm.channel() as channel:
            return [ask(channel, case) for case in cases]

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(in_order, pair)
    check_agreement(list(zip(cases, one, other, strict=True)))


def check_agreement(pairs: list[tuple[Case, Answer, Answer]]) -> None:
    """Asserts that each pair of answers agrees, and that the calls were worth making."""
    differing = [(case, one, other) for case, one, other in pairs if not same_answer(one, other)]
    assert not differing, f"{len(differing)} of {len(pairs)} differ, the first: {differing[0]}"
    codes = Counter(one.code for _, one, _ in pairs)
    # Calls that all fail, or never do, would agree on very little.
    assert codes["OK"] >= len(pairs) / 2
    assert codes["INVALID_ARGUMENT"] >= len(pairs) / 100


def same_answer(one: Answer, other: Answer) -> bool:
    """Whether two answers agree."""
    return (
        (one.code, one.message) == (other.code, other.message)
        and _same_lists(one.details, other.details)
        and _same_lists(one.responses, other.responses)
    )


def _same_lists(one: list[Message], other: list[Message]) -> bool:
    return len(one) == len(other) and all(map(same_message, one, other))


def same_message(one: Message, other: Message) -> bool:
    """Whether two messages agree, but for an id that is random by contract."""
    if one.DESCRIPTOR.full_name != other.DESCRIPTOR.full_name:
        return False
    for field in one.DESCRIPTOR.fields:
        if field.name == "search_id":
            continue
        if field.has_presence and one.HasField(field.name) != other.HasField(field.name):
            return False
        left, right = getattr(one, field.name), getattr(other, field.name)
        if field.message_type is not None:
            lists = (list(left), list(right)) if field.is_repeated else ([left], [right])
            if not _same_lists(*lists):
                return False
        elif field.cpp_type in _FLOATS and not field.is_repeated:
            if not (math.isclose(left, right, rel_tol=RELATIVE) or left != left != right):
                return False
        elif left != right:
            return False
    return True


def test_the_comparison_sees_each_kind_of_difference() -> None:
    from gazetteer.v1 import gazetteer_pb2 as pb

    def near(metres: float, name: str = "a") -> pb.FindNearestResponse:
        place = pb.Place(name=name)
        return pb.FindNearestResponse(results=[pb.NearPlace(place=place, distance_m=metres)])

    def answer(*responses: Message, code: str = "OK", message: str = "") -> Answer:
        return Answer(code, message, [], list(responses))

    assert same_answer(answer(near(1.0)), answer(near(1.0 + 1e-12)))
    assert not same_answer(answer(near(1.0)), answer(near(1.0 + 1e-6)))
    assert not same_answer(answer(near(1.0)), answer(near(1.0, "b")))
    assert not same_answer(answer(near(1.0)), answer(pb.FindNearestResponse()))
    assert not same_answer(answer(near(1.0)), answer(near(1.0), near(1.0)))
    assert not same_answer(answer(), answer(code="NOT_FOUND"))
    assert not same_answer(answer(code="NOT_FOUND"), answer(code="NOT_FOUND", message="x"))
    missing = pb.FindNearestResponse(results=[pb.NearPlace(distance_m=1.0)])
    assert not same_answer(answer(near(1.0, "")), answer(missing))
    one, other = (pb.SearchPlacesResponse(search_id=text) for text in "ab")
    assert same_answer(answer(one), answer(other))
    with grpc.insecure_channel("127.0.0.1:1") as nowhere:
        case = {"method": "get_place", "raw_hex": [""]}
        assert ask(nowhere, case).code == "UNAVAILABLE"
