"""The harness itself: nothing that a test starts may outlive it, and a load's counts are true."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from foreign.backend import Backend, key_of
from foreign.service import ECHO
from harness import ROOT, Metrics, Process, ProcessEnded, run_load, wait_until


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody reaps has, too)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_a_process_dies_with_the_process_that_started_it(logs: Path) -> None:
    starter = (
        "from pathlib import Path; import sys, time\n"
        "from harness import Process\n"
        "child = Process('child', ['sleep', '600'], logs=Path(sys.argv[1]))\n"
        "print('child', child.pid, flush=True); time.sleep(600)\n"
    )
    env = {"PYTHONPATH": str(ROOT / "tests")}
    parent = Process("parent", [sys.executable, "-c", starter, logs], logs=logs, env=env)
    child = int(parent.wait_for_line(r"^child (\d+)$")[1])
    assert not gone(child)
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.wait() == -signal.SIGKILL
    assert wait_until(lambda: gone(child))


def test_a_process_that_ends_early_is_told_with_its_errors(logs: Path) -> None:
    process = Process("early", ["sh", "-c", "echo no such luck >&2; exit 3"], logs=logs)
    with pytest.raises(ProcessEnded, match="no such luck"):
        process.wait_for_line("never")
    assert process.stop() == 3


def test_a_frozen_process_can_be_stopped(logs: Path) -> None:
    process = Process("frozen", ["sleep", "600"], logs=logs)
    process.signal(signal.SIGSTOP)
    assert process.stop() == -signal.SIGTERM


def test_metrics_are_summed_by_their_labels() -> None:
    text = (
        "# HELP a_total Things.\n# TYPE a_total counter\n"
        'a_total{arm="legacy",code="OK"} 3\na_total{arm="candidate",code="OK"} 4\n'
        'a_total{arm="legacy",code="a\\"}b"} 2 # {trace_id="x"} 1\nb 1e3\n'
    )
    metrics = Metrics(text)
    assert metrics.sum("a_total") == 9
    assert metrics.sum("a_total", arm="legacy") == 5
    assert metrics.sum("b") == 1000
    assert metrics.sum("a_total", arm="nobody") == 0


def test_a_load_makes_as_many_calls_as_it_says(foreign_legacy: Backend) -> None:
    load = run_load(foreign_legacy.url, path=ECHO, calls=500, keys=500, tally="x-arm", duration=30)
    assert load.by_status == {"OK": 500}
    assert load.tally == {"legacy": 500}
    assert {key_of(entry) for entry in foreign_legacy.ledger(ECHO)} == {
        f"key-{index}" for index in range(500)
    }


def test_an_open_load_keeps_its_rate(foreign_legacy: Backend) -> None:
    pid = foreign_legacy.process.pid
    load = run_load(
        foreign_legacy.url, path=ECHO, mode="open", rate=200, arrivals="even", duration=2, pid=pid
    )
    assert 395 <= load.calls <= 400
    assert load.process(pid)["cpu_seconds"] > 0
    assert load.process(pid)["rss_bytes"] > 10_000_000
    assert 0 < load.latency_us("p50") <= load.latency_us("p99")


def test_a_load_says_what_was_written_wrong() -> None:
    from harness.load import load_command

    for flags, said in (
        ({}, "--database"),
        ({"path": "nonsense"}, "/package.Service/Method"),
        ({"path": ECHO, "body_hex": "abc"}, "hexadecimal"),
        ({"path": ECHO, "rate": 0}, "above 0"),
    ):
        done = subprocess.run(
            load_command("http://127.0.0.1:1", **flags), check=False, capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
