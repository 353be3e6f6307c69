"""The house's invariants: who may use whom, and what the pure rooms don't do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_USE = {
    "cutover-proto": set[str](),
    "cutover-manifest": set[str](),
    "cutover-wire": set[str](),
    "cutover-compare": {"cutover-manifest"},
    "cutover-proxy": {"cutover-proto", "cutover-manifest", "cutover-compare", "cutover-wire"},
    "cutover-control": {"cutover-proto", "cutover-manifest", "cutover-compare"},
    "gazetteer-server": {"cutover-proto"},
}


@pytest.fixture(scope="module")
def dependencies() -> dict[str, set[str]]:
    """The rooms that each crate of the workspace is built with."""
    cargo = shutil.which("cargo")
    assert cargo, "the tests need the Rust toolchain that built the binaries"
    command = [cargo, "metadata", "--format-version=1", "--no-deps", "--offline", "--locked"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    packages = json.loads(listed.stdout)["packages"]
    rooms = {package["name"] for package in packages}
    return {
        package["name"]: {
            dependency["name"]
            for dependency in package["dependencies"]
            if dependency["name"] in rooms and dependency["kind"] != "dev"
        }
        for package in packages
    }


@pytest.mark.parametrize("room", MAY_USE)
def test_a_room_uses_only_what_it_may(room: str, dependencies: dict[str, set[str]]) -> None:
    if room not in dependencies:
        assert room == "cutover-wire", f"{room} is gone from the workspace"
        return
    assert dependencies[room] <= MAY_USE[room]


def sources(room: str) -> str:
    """All Rust of a room, without its comments."""
    files = sorted((ROOT / room / "src").rglob("*.rs"))
    assert files, f"{room} has no sources"
    return "\n".join(re.sub(r"//.*", "", file.read_text("utf-8")) for file in files)


def test_the_proxy_knows_nothing_of_the_gazetteer() -> None:
    assert "gazetteer" not in sources("proxy").lower()


@pytest.mark.parametrize("room", ["compare", "manifest"])
def test_a_pure_room_does_no_io_and_reads_no_clock(room: str) -> None:
    # `std::io` stays allowed: inflating a message reads from memory through its traits.
    forbidden = r"std::(?:fs|net|env|process|thread)\b|\btokio::|(?:Instant|SystemTime)::now"
    assert re.findall(forbidden, sources(room)) == []
