"""Calls of the gazetteer are recorded once and replayed against both arms, without a proxy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from gazetteer.v1 import gazetteer_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from harness import Arm, Process, binary, manifest, rule, run_cutover, start_broken, start_legacy
from harness.manifest import Yaml, write
from harness.paths import copy_database
from runner import METHODS, ask, load_cases

SERVICE = "gazetteer.v1.GazetteerService"
WRITE = "record_visit"
CASES = 25
"""Cases of the corpus for each method."""
VISITOR = "somebody-whom-nobody-may-read-of"

RULES = [
    rule(SERVICE, "SearchPlaces", compare={"ignore": ["search_id"]}),
    rule(SERVICE, "RecordVisit", compare={"redact": ["visitor"]}),
]


@dataclass(frozen=True)
class Recording:
    """A file of calls, and what `cutover record` said of it."""

    file: Path
    summary: str
    calls: int


@pytest.fixture(scope="module")
def recording(
    database: Path, artifacts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    """Calls of every kind, writes too, that a Python arm answered."""
    scratch = tmp_path_factory.mktemp("recording")
    logs = artifacts / "test_replay"
    file = scratch / "calls.binlog"
    own = copy_database(database, scratch / "own.db")
    with start_legacy(own, logs=logs) as arm:
        content = manifest(arm.url, "http://127.0.0.1:1", rules=RULES)
        path = write(scratch / "cutover.yaml", content)
        command: list[str | Path] = [binary("cutover"), "record", "-f", path, "--out", file]
        with Process("record", command, logs=logs) as process:
            address = process.wait_for_line(r"^proxy listening on (\S+)$")[1]
            with grpc.insecure_channel(address) as channel:
                calls = _call_all(channel)
            assert process.stop() == 0, process.tail()
            return Recording(file, "\n".join(process.lines), calls)


def _call_all(channel: grpc.Channel) -> int:
    calls = 0
    for method in METHODS:
        for case in load_cases(method)[:CASES]:
            ask(channel, case)
            calls += 1
    visit = {"method": WRITE, "requests": [{"placeId": "3041563", "visitor": VISITOR}]}
    assert ask(channel, visit).code == "OK"
    return calls + 1


def replay(
    recording: Recording,
    scratch: Path,
    legacy: Arm,
    candidate: Arm,
    *more: str,
    rules: Sequence[Yaml] = RULES,
) -> tuple[int, Any]:
    """Replays; gives the exit code and the report."""
    content: Yaml = manifest(legacy.url, candidate.url, rules=rules)
    path = write(scratch / "replay.yaml", content)
    done = run_cutover("replay", recording.file, "-f", path, "--output", "json", *more, timeout=100)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_call_is_recorded_and_nothing_that_must_not_be(recording: Recording) -> None:
    assert f"recorded {recording.calls} calls in " in recording.summary
    assert VISITOR.encode() not in recording.file.read_bytes()
    assert "0 calls left out: the writer was behind" in recording.summary


def test_both_arms_agree_on_the_recorded_calls(
    recording: Recording, legacy: Arm, candidate: Arm, tmp_path: Path
) -> None:
    code, report = replay(recording, tmp_path, legacy, candidate)
    assert code == 0, report
    assert report["verdict"] == "agree"
    assert report["calls"] == recording.calls
    compared = {method["method"].rpartition("/")[2]: method for method in report["methods"]}
    assert set(compared) == {m.name for stem, m in METHODS.items() if stem != WRITE}
    for method in compared.values():
        assert method["compared"] >= 5
        assert method["statuses"]["legacy"] == method["statuses"]["candidate"]
        for arm in ("legacy", "candidate"):
            latency = method["latency_us"][arm]
            assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
    left_out = {one["method"].rpartition("/")[2]: one["reason"] for one in report["left_out"]}
    assert left_out["RecordVisit"] == "side_effects"


def test_what_differs_by_itself_is_told_from_a_porting_bug(
    recording: Recording,
    legacy: Arm,
    candidate: Arm,
    database: Path,
    tmp_path: Path,
    logs: Path,
) -> None:
    def searched(other: Arm, percent: int) -> tuple[int, Any, dict[str, bool]]:
        mirror = {"percent": 100, "noisePercent": percent}
        rules = [rule(SERVICE, "SearchPlaces", mirror=mirror)]
        only = ("--methods", "SearchPlaces")
        code, report = replay(recording, tmp_path, legacy, other, *only, rules=rules)
        (method,) = report["methods"]
        return code, method, {field["path"]: field["noisy"] for field in method["fields"]}

    # Each answer has an id of its own. Only with a second answer of the legacy is that known.
    code, method, fields = searched(candidate, 0)
    assert (code, fields, method["asked_twice"]) == (1, {"search_id": False}, 0)
    code, method, fields = searched(candidate, 100)
    assert (code, fields) == (0, {"search_id": True})
    assert method["asked_twice"] == method["compared"] >= 5
    assert method["differed"] == 0
    with start_broken(database, logs=logs, extra=["--hazard", "main-name-matched"]) as broken:
        code, method, fields = searched(broken, 100)
    assert (code, fields) == (1, {"results[].matched_name": False, "search_id": True})
    assert 0 < method["differed"] < method["compared"]


def test_descriptors_of_something_else_are_named_and_nothing_is_held_against_an_arm(
    recording: Recording, legacy: Arm, candidate: Arm, tmp_path: Path
) -> None:
    # Of another version: its answer's only field has another type, and one method is not there yet.
    names = ("GetPlace", "SearchPlaces", "FindNearest", "ListPlaces", "MeasureRoute", "Suggest")
    served = FileDescriptorProto()
    gazetteer_pb2.DESCRIPTOR.CopyToProto(served)
    old = FileDescriptorProto(name="old.proto", package="gazetteer.v1", syntax="proto3")
    blob = old.message_type.add(name="OldAnswer")
    blob.field.add(name="number", number=1, type="TYPE_FIXED64", label="LABEL_OPTIONAL")
    service = old.service.add(name="GazetteerService")
    for method in served.service[0].method:
        if method.name in names[:-1]:
            added = service.method.add()
            added.CopyFrom(method)
            added.input_type = added.output_type = ".gazetteer.v1.OldAnswer"
    file = tmp_path / "old.binpb"
    file.write_bytes(FileDescriptorSet(file=[old]).SerializeToString())
    rules = [rule(SERVICE, "SearchPlaces")]
    content = manifest(legacy.url, candidate.url, rules=rules, descriptors=file)
    path = write(tmp_path / "replay.yaml", content)

    done = run_cutover("replay", recording.file, "-f", path, "--output", "json", timeout=100)
    assert done.returncode == 3, done.stdout
    report = json.loads(done.stdout)
    assert (report["verdict"], report["differed"]) == ("misfit", 0)
    methods = {one["method"].rpartition("/")[2]: one for one in report["methods"]}
    # Each answer has an id of its own, so all of them differ, and none can be read.
    searches = methods["SearchPlaces"]
    assert searches["misfits"]["undecodable"] >= 5
    suggested = next(one for one in report["left_out"] if one["method"].endswith("/Suggest"))
    assert suggested["reason"] == "unknown_method"
    unknown = sum(one["calls"] for one in report["left_out"] if one["reason"] == "unknown_method")
    misfits = sum(sum(one["misfits"].values()) for one in methods.values())
    assert report["misfits"] == unknown + misfits

    told = run_cutover("replay", recording.file, "-f", path, timeout=100)
    assert told.returncode == 3
    assert "the descriptors don't fit" in told.stdout
    assert (
        f"/{SERVICE}/Suggest: {suggested['calls']} calls: they have no such method" in told.stdout
    )
    assert "neither arm's answer decodes as gazetteer.v1.OldAnswer" in told.stdout
    assert f"help: compile {file} from the .proto files" in told.stdout


def test_a_porting_bug_is_named_at_its_field(
    recording: Recording, legacy: Arm, database: Path, tmp_path: Path, logs: Path
) -> None:
    hazard = ["--hazard", "main-name-matched"]
    with start_broken(database, logs=logs, extra=hazard) as broken:
        code, report = replay(recording, tmp_path, legacy, broken, "--concurrency", "4")
        assert code == 1
        assert report["verdict"] == "differ"
        differing = {method["method"]: method for method in report["methods"] if method["differed"]}
        assert list(differing) == [f"/{SERVICE}/SearchPlaces"]
        fields = differing[f"/{SERVICE}/SearchPlaces"]["fields"]
        assert {field["path"] for field in fields} == {"results[].matched_name"}
        allowed, _ = replay(recording, tmp_path, legacy, broken, "--max-mismatch", "50%")
        assert allowed == 0
