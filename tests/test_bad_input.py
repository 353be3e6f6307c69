"""What a user writes wrong is told with its place and what would be right: exit code 2.

What fails for other reasons ends with 1.
"""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Arm, binary, free_port, manifest, rule, run_cutover, script
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
