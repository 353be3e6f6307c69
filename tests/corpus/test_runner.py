"""The runner itself: it must tell an arm that disagrees from one that agrees."""

from copy import deepcopy
from typing import Any

import pytest
from gazetteer.v1 import gazetteer_pb2 as pb
from runner import METHODS, Case, load_cases, request_bytes, run_case

_PLACE = {"id": "7", "name": "A", "location": {"latitude": 1.5}, "population": "3"}
_RESULT = {"place": _PLACE, "score": 0.25, "matched_name": "A"}
_CASE: Case = {
    "name": "one result",
    "method": "search_places",
    "requests": [{"query": "a"}],
    "expect": {
        "code": "OK",
        "message": "",
        "details": [],
        "responses": [{"results": [_RESULT]}],
    },
}


class _Canned:
    """As much of a channel as the runner needs: one answer to every call."""

    def __init__(self, response: pb.SearchPlacesResponse) -> None:
        self._response = response

    def unary_unary(self, path: str, **_: object) -> Any:
        assert path == "/gazetteer.v1.GazetteerService/SearchPlaces"
        return lambda request, timeout: self._response


def _disagreements(response: pb.SearchPlacesResponse, case: Case = _CASE) -> list[str]:
    channel: Any = _Canned(response)
    return run_case(channel, case)


def _answer() -> pb.SearchPlacesResponse:
    place = pb.Place(id=7, name="A", location=pb.LatLng(latitude=1.5), population=3)
    result = pb.SearchResult(place=place, score=0.25, matched_name="A")
    return pb.SearchPlacesResponse(results=[result], search_id="0" * 32)


def test_an_equal_answer_agrees() -> None:
    assert _disagreements(_answer()) == []


def test_a_float_within_the_tolerance_agrees() -> None:
    answer = _answer()
    answer.results[0].score *= 1 + 1e-10
    assert _disagreements(answer) == []


def test_another_search_id_agrees_if_it_is_one() -> None:
    answer = _answer()
    answer.search_id = "9f" * 16
    assert _disagreements(answer) == []
    answer.search_id = "9F" * 16
    assert "search_id" in _disagreements(answer)[0]


def _change_score(answer: pb.SearchPlacesResponse) -> None:
    answer.results[0].score *= 1 + 1e-8


def _make_score_nan(answer: pb.SearchPlacesResponse) -> None:
    answer.results[0].score = float("nan")


def _change_id(answer: pb.SearchPlacesResponse) -> None:
    answer.results[0].place.id = 8


def _change_name(answer: pb.SearchPlacesResponse) -> None:
    answer.results[0].matched_name = "a"


def _drop_location(answer: pb.SearchPlacesResponse) -> None:
    answer.results[0].place.ClearField("location")


def _add_result(answer: pb.SearchPlacesResponse) -> None:
    answer.results.add()


def _drop_result(answer: pb.SearchPlacesResponse) -> None:
    del answer.results[:]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (_change_score, "responses[0].results[0].score"),
        (_make_score_nan, "responses[0].results[0].score"),
        (_change_id, "responses[0].results[0].place.id"),
        (_change_name, "responses[0].results[0].matched_name"),
        (_drop_location, "presence of responses[0].results[0].place.location"),
        (_add_result, "number of responses[0].results"),
        (_drop_result, "number of responses[0].results"),
    ],
)
def test_a_changed_answer_disagrees_and_says_where(change: Any, path: str) -> None:
    answer = _answer()
    change(answer)
    assert [text.split(": ")[0] for text in _disagreements(answer)] == [path]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("code", "NOT_FOUND"),
        ("message", "place 7 not found"),
        ("details", [{"@type": "type.googleapis.com/google.rpc.BadRequest"}]),
        ("responses_count", 2),
    ],
)
def test_another_expectation_disagrees(key: str, value: object) -> None:
    case = deepcopy(_CASE)
    case["expect"][key] = value
    assert any(key in text.split(": ")[0] for text in _disagreements(_answer(), case))


def test_writes_come_last() -> None:
    assert list(METHODS)[-1] == "record_visit"


@pytest.mark.parametrize("method", METHODS)
def test_each_case_is_whole(method: str) -> None:
    cases = load_cases(method)
    assert len({case["name"] for case in cases}) == len(cases) >= 40
    for case in cases:
        assert ("requests" in case) != ("raw_hex" in case)
        assert {"code", "message", "details", "responses"} <= case["expect"].keys()
        assert (case["expect"]["code"] == "OK") == (case["expect"]["message"] == "")
        assert all(isinstance(request, bytes) for request in request_bytes(case))
