"""What a user writes wrong is told with its place and what would be right: exit code 2.

What fails for other reasons ends with 1.
"""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cutover.v1 import control_plane_pb2
from gazetteer.v1 import gazetteer_pb2, gazetteer_pb2_grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from harness import (
    Arm,
    CutoverUp,
    binary,
    free_port,
    manifest,
    rule,
    run_cutover,
    script,
    wait_until,
)
from harness.manifest import write
from harness.paths import copy_database

SERVICE = "gazetteer.v1.GazetteerService"
NOWHERE = "http://127.0.0.1:1"

Change = Callable[[dict[str, Any]], None]


def _unknown_key(spec: dict[str, Any]) -> None:
    spec["rulez"] = []


def _weight_101(spec: dict[str, Any]) -> None:
    spec["rules"] = [rule(weight=101)]


def _weight_in_words(spec: dict[str, Any]) -> None:
    spec["rules"] = [{"weight": "half"}]


def _duplicate_rule(spec: dict[str, Any]) -> None:
    spec["rules"] = [rule(SERVICE, "GetPlace", weight=1), rule(SERVICE, "GetPlace", weight=2)]


def _no_candidate(spec: dict[str, Any]) -> None:
    del spec["candidate"]


def _url_without_scheme(spec: dict[str, Any]) -> None:
    spec["legacy"] = {"url": "127.0.0.1:50051"}


def _steps_that_fall(spec: dict[str, Any]) -> None:
    spec["ramp"] = {"steps": [{"weight": 10}, {"weight": 5}]}


@pytest.mark.parametrize("command", ["check", "up"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_unknown_key, "rulez"),
        (_weight_101, "101"),
        (_weight_in_words, "half"),
        (_duplicate_rule, "GetPlace"),
        (_no_candidate, "candidate"),
        (_url_without_scheme, "http://"),
        (_steps_that_fall, "rise"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_place(
    command: str, change: Change, said: str, tmp_path: Path
) -> None:
    content = manifest(NOWHERE, NOWHERE)
    change(content["spec"])
    path = write(tmp_path / "wrong.yaml", content)
    done = run_cutover(command, "-f", path)
    assert done.returncode == 2, done.stderr
    told = done.stdout + done.stderr
    assert said in told
    assert f"{path}:" in told
    assert "panicked" not in told


def test_a_duplicate_key_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "wrong.yaml", manifest(NOWHERE, NOWHERE))
    path.write_text(path.read_text().replace("spec:", "kind: Cutover\nspec:"))
    done = run_cutover("check", "--offline", "-f", path)
    assert done.returncode == 2
    assert "duplicate" in (done.stdout + done.stderr).lower()


def test_a_manifest_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run_cutover("up", "-f", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert "none.yaml" in done.stderr


def test_an_unknown_method_is_told_with_the_nearest_one(
    legacy: Arm, candidate: Arm, tmp_path: Path
) -> None:
    rules = [rule(SERVICE, "SearchPlacez", weight=1)]
    path = write(tmp_path / "wrong.yaml", manifest(legacy.url, candidate.url, rules=rules))
    done = run_cutover("check", "-f", path)
    assert done.returncode == 2, done.stdout + done.stderr
    told = done.stdout + done.stderr
    assert "SearchPlacez" in told
    assert f"{SERVICE}/SearchPlaces" in told


@pytest.mark.parametrize(
    ("compare", "said"),
    [
        ({"ignore": ["score"]}, "did you mean results[].score?"),
        ({"tolerance": {"search_id": {"relative": 0.1}}}, "it is a string"),
        ({"keyed": {"results": ["id"]}}, "did you mean place.id?"),
    ],
)
def test_a_rule_for_a_field_that_cannot_be_compared_so_is_told_with_its_place(
    compare: dict[str, Any], said: str, legacy: Arm, candidate: Arm, tmp_path: Path
) -> None:
    rules = [rule(SERVICE, "SearchPlaces", compare=compare)]
    path = write(tmp_path / "wrong.yaml", manifest(legacy.url, candidate.url, rules=rules))
    done = run_cutover("check", "-f", path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stdout
    lines = path.read_text().splitlines()
    field = next(iter(compare[next(iter(compare))]))
    line = next(number for number, text in enumerate(lines, 1) if field in text)
    column = lines[line - 1].index(field) + 1
    assert f"{path}:{line}:{column}: " in done.stdout


def test_a_running_proxy_tells_rules_that_do_not_fit_and_goes_on(
    legacy: Arm, candidate: Arm, tmp_path: Path, logs: Path
) -> None:
    rules = [
        rule(SERVICE, "SearchPlaces", mirror={"percent": 100}, compare={"ignore": ["score"]}),
        rule(SERVICE, "SearchPlacez", weight=1),
    ]
    content = manifest(legacy.url, candidate.url, rules=rules)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        _said(up, "did you mean results[].score?")
        _said(up, "SearchPlacez: the descriptors don't have it")
        _said(up, "epoch=1")
        _search(up, calls=3)
        wait_until(lambda: _pairs(up).compared > 0, timeout=60)


def test_descriptors_that_fit_neither_arm_are_told_and_not_held_against_the_candidate(
    legacy: Arm, candidate: Arm, tmp_path: Path, logs: Path
) -> None:
    content = manifest(
        legacy.url,
        candidate.url,
        rules=[rule(SERVICE, "SearchPlaces", mirror={"percent": 100})],
        descriptors=_skewed(tmp_path / "skewed.binpb"),
    )
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        # What is counted under the first table, before the control plane's, is nobody's evidence.
        _said(up, "descriptors loaded")
        _said(up, "epoch=1")
        _search(up, calls=3)
        wait_until(lambda: sum(_pairs(up).not_compared.values()) == 3, timeout=60)
        assert dict(_pairs(up).not_compared) == {"descriptors": 3}
        assert (_pairs(up).compared, _pairs(up).mismatched) == (0, 0)
        assert up.process.stderr.read_text().count("the descriptors don't fit the traffic") == 1
        done = run_cutover("report", "--operator", up.operator_address)
        assert "renew spec.descriptors.file" in done.stdout, done.stdout + done.stderr


def _said(up: CutoverUp, what: str) -> None:
    wait_until(lambda: what in up.process.stderr.read_text(), timeout=60, what=what)


def _search(up: CutoverUp, *, calls: int) -> None:
    with up.channel() as channel:
        stub = gazetteer_pb2_grpc.GazetteerServiceStub(channel)
        for _ in range(calls):
            found = stub.SearchPlaces(
                gazetteer_pb2.SearchPlacesRequest(query="Andorra"), timeout=30
            )
            assert found.results


def _pairs(up: CutoverUp) -> Any:
    with up.operator() as operator:
        methods = operator.status().methods
    mine = [method.pairs for method in methods if method.method.endswith("/SearchPlaces")]
    return mine[0] if mine else control_plane_pb2.PairCounters()


def _skewed(path: Path) -> Path:
    """Descriptors of another time, in which `search_id` was a number."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name not in files:
            described = descriptor_pool.Default().FindFileByName(name)
            for dependency in described.dependencies:
                add(dependency.name)
            files[name] = descriptor_pb2.FileDescriptorProto()
            described.CopyToProto(files[name])

    name = gazetteer_pb2.DESCRIPTOR.name
    add(name)
    messages = {message.name: message for message in files[name].message_type}
    fields = {field.name: field for field in messages["SearchPlacesResponse"].field}
    fields["search_id"].type = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
    described = descriptor_pb2.FileDescriptorSet(file=files.values())
    path.write_bytes(described.SerializeToString())
    return path


def test_a_right_manifest_passes_the_check(legacy: Arm, candidate: Arm, tmp_path: Path) -> None:
    rules = [rule(SERVICE, "SearchPlaces", mirror={"percent": 100})]
    path = write(tmp_path / "right.yaml", manifest(legacy.url, candidate.url, rules=rules))
    done = run_cutover("check", "-f", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_arm_that_is_not_there_fails_the_check(legacy: Arm, tmp_path: Path) -> None:
    missing = f"http://127.0.0.1:{free_port()}"
    path = write(tmp_path / "missing.yaml", manifest(legacy.url, missing))
    done = run_cutover("check", "-f", path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert missing.removeprefix("http://") in done.stdout + done.stderr


@pytest.mark.parametrize("flag", ["--listen", "--admin", "--operator", "--control-listen"])
def test_a_port_in_use_is_told(flag: str, tmp_path: Path) -> None:
    path = write(tmp_path / "right.yaml", manifest(NOWHERE, NOWHERE))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_cutover("up", "-f", path, "--store", tmp_path / "store.db", flag, address)
    assert done.returncode == 1, done.stderr
    assert address in done.stderr
    assert "in use" in done.stderr


def _program(arm: str) -> Path:
    return script("gazetteer-server") if arm == "legacy" else binary("gazetteer-server")


def _serve(arm: str, database: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [_program(arm), "--listen", "127.0.0.1:0", "--database", database, *flags]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arm", ["legacy", "candidate"])
def test_a_missing_database_is_told(arm: str, tmp_path: Path) -> None:
    missing = tmp_path / "none.db"
    done = _serve(arm, missing)
    assert done.returncode == 2, done.stderr
    assert str(missing) in done.stderr
    assert "gazetteer-load --database" in done.stderr
    assert not missing.exists()


@pytest.mark.parametrize("arm", ["legacy", "candidate"])
@pytest.mark.parametrize("damage", ["no database", "empty", "cut off", "overwritten"])
def test_a_corrupt_database_is_told(damage: str, arm: str, database: Path, tmp_path: Path) -> None:
    corrupt = copy_database(database, tmp_path / "corrupt.db")
    whole = corrupt.read_bytes()
    corrupt.write_bytes(
        {
            "no database": b"This is no database at all. " * 100,
            "empty": b"",
            "cut off": whole[: len(whole) // 2],
            "overwritten": whole[:8192] + bytes(len(whole) - 8192),
        }[damage]
    )
    done = _serve(arm, corrupt)
    assert done.returncode == 1, done.stderr
    assert str(corrupt) in done.stderr
    assert "gazetteer-load --database" in done.stderr
    assert "panicked" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arm", ["legacy", "candidate"])
def test_an_arm_tells_a_port_in_use(arm: str, database: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [_program(arm), "--listen", address, "--database", database]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert address in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arm", ["legacy", "candidate"])
@pytest.mark.parametrize(
    "flags", [("--listen", "nonsense"), ("--max-concurrent-calls", "many"), ("--no-such-flag",)]
)
def test_an_arm_refuses_a_wrong_flag(arm: str, flags: tuple[str, ...], database: Path) -> None:
    done = subprocess.run(
        [_program(arm), "--database", database, *flags],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert flags[0] in done.stderr
