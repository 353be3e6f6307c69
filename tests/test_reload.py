"""A manifest that changes on disk takes effect without a restart; a wrong one changes nothing."""

import os
import time
from pathlib import Path

import pytest
import yaml
from foreign.backend import Backend
from foreign.service import ECHO
from harness import CutoverUp, Process, manifest, rule, run_load, wait_until
from harness.load import finish_load, load_command

SOON_S = 2.0
"""A new weight is in force within this."""


class Mounted:
    """A directory as Kubernetes mounts a ConfigMap: files behind a `..data` symlink."""

    def __init__(self, directory: Path, text: str) -> None:
        """Makes it, with the manifest in it."""
        directory.mkdir()
        self._directory = directory
        self._version = 0
        self.swap(text)
        self.manifest = directory / "cutover.yaml"
        self.manifest.symlink_to("..data/cutover.yaml")

    def swap(self, text: str) -> None:
        """Writes a new version beside the old one and renames the symlink over."""
        self._version += 1
        version = self._directory / f"..version_{self._version}"
        version.mkdir()
        (version / "cutover.yaml").write_text(text, "utf-8")
        fresh = self._directory / "..data_tmp"
        fresh.symlink_to(version.name)
        os.replace(fresh, self._directory / "..data")


def text_of(legacy: Backend, candidate: Backend, weight: float) -> str:
    """A manifest with one pinned weight."""
    content = manifest(legacy.url, candidate.url, rules=[rule(weight=weight)])
    return yaml.safe_dump(content)


def test_a_swapped_symlink_takes_effect_without_a_failed_call(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    mounted = Mounted(tmp_path / "config", text_of(foreign_legacy, foreign_candidate, 0))
    with (
        CutoverUp(mounted.manifest, scratch=tmp_path, logs=logs) as up,
        up.channel() as channel,
    ):
        echo = channel.unary_unary(ECHO)

        def arm() -> str:
            _, call = echo.with_call(b"", timeout=10, metadata=(("x-user-id", "somebody"),))
            return str(dict(call.initial_metadata())["x-arm"])

        assert arm() == "legacy"
        flags = {"path": ECHO, "mode": "open", "rate": 300, "duration": 8, "tally": "x-arm"}
        load = Process("load", load_command(up.url, **flags), logs=logs)
        try:
            for weight, expected in ((100, "candidate"), (0, "legacy"), (100, "candidate")):
                mounted.swap(text_of(foreign_legacy, foreign_candidate, weight))
                swapped = time.monotonic()
                wait_until(lambda expected=expected: arm() == expected, timeout=SOON_S)
                assert time.monotonic() - swapped < SOON_S
            seen = finish_load(load)
        finally:
            load.stop()
        assert set(seen.by_status) == {"OK"}
        assert seen.figures["unfinished"] == 0
        assert set(seen.tally) == {"legacy", "candidate"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("weight: 101", "101"),
        ("wieght: 10", "wieght"),
        ("weight: [", ""),
    ],
)
def test_a_wrong_manifest_keeps_the_table_in_force_and_shows_why(
    wrong: str,
    said: str,
    foreign_legacy: Backend,
    foreign_candidate: Backend,
    tmp_path: Path,
    logs: Path,
) -> None:
    right = text_of(foreign_legacy, foreign_candidate, 100)
    assert "weight: 100" in right
    mounted = Mounted(tmp_path / "config", right)
    with (
        CutoverUp(mounted.manifest, scratch=tmp_path, logs=logs) as up,
        up.operator() as operator,
    ):
        before = operator.status()
        assert before.manifest_error == ""
        mounted.swap(right.replace("weight: 100", wrong))
        error = wait_until(lambda: operator.status().manifest_error)
        assert said in error
        assert "cutover.yaml:" in error
        load = run_load(up.url, path=ECHO, calls=100, duration=30, tally="x-arm")
        assert load.tally == {"candidate": 100}
        assert operator.status().generation == before.generation
        mounted.swap(text_of(foreign_legacy, foreign_candidate, 0))
        wait_until(lambda: operator.status().manifest_error == "")


def test_a_reload_keeps_an_override(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    mounted = Mounted(tmp_path / "config", text_of(foreign_legacy, foreign_candidate, 0))
    with (
        CutoverUp(mounted.manifest, scratch=tmp_path, logs=logs) as up,
        up.operator() as operator,
    ):
        generation = operator.set_weight(100, why="an operator's word").generation
        mounted.swap(text_of(foreign_legacy, foreign_candidate, 1))
        wait_until(lambda: operator.status().generation > generation)
        newest = operator.status()
        assert [override.weight_bp for override in newest.overrides] == [10_000]
        wait_until(lambda: up.metrics().sum("cutover_route_table_generation") >= newest.generation)
        load = run_load(up.url, path=ECHO, calls=50, duration=30, tally="x-arm")
        assert load.tally == {"candidate": 50}
