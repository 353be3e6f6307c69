"""The demonstration leaves no process behind, whenever it is interrupted."""

import os
import signal
import sys
from pathlib import Path

import pytest
from harness import ROOT, Process, wait_until

MOMENTS = [
    "A migration",
    r"legacy \(Python\) listens",
    r"DASHBOARD: http://",
    r"weight 0 % → 1 %",
]


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    open_ = [pid]
    while open_:
        children = {child for child, parent in parents.items() if parent == open_[-1]} - found
        open_.pop()
        found |= children
        open_.extend(children)
    return found


def runs(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_leaves_no_process(
    number: signal.Signals, moment: str, database: Path, logs: Path
) -> None:
    env = {"GAZETTEER_DATABASE": str(database), "PYTHONUNBUFFERED": "1"}
    demo = Process("demo", [sys.executable, ROOT / "demo" / "demo.py"], logs=logs, env=env)
    try:
        demo.wait_for_line(moment, timeout=90)
        below = descendants(demo.pid)
        demo.signal(number)
        assert demo.wait(30) == 130
    finally:
        demo.stop()
    assert wait_until(lambda: not any(map(runs, below)), what="every process to end")


@pytest.mark.timeout(120)
def test_a_killed_demonstration_leaves_no_process(database: Path, logs: Path) -> None:
    env = {"GAZETTEER_DATABASE": str(database), "PYTHONUNBUFFERED": "1"}
    demo = Process("demo", [sys.executable, ROOT / "demo" / "demo.py"], logs=logs, env=env)
    try:
        demo.wait_for_line(r"DASHBOARD: http://", timeout=90)
        below = descendants(demo.pid)
        assert len(below) >= 3
        os.kill(demo.pid, signal.SIGKILL)
        assert demo.wait() == -signal.SIGKILL
    finally:
        demo.stop()
    assert wait_until(lambda: not any(map(runs, below)), what="every process to end")
