"""The load generator, `cutover-bench`."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from harness.paths import binary
from harness.process import Process

_SLACK_S = 60.0


@dataclass(frozen=True)
class Load:
    """What a load saw; the keys are those of `cutover-bench load --json`."""

    figures: dict[str, Any]

    @property
    def calls(self) -> int:
        """Calls that ended."""
        return int(self.figures["calls"])

    @property
    def by_status(self) -> dict[str, int]:
        """Calls by the name of their status."""
        return dict(self.figures["by_status"])

    @property
    def tally(self) -> dict[str, int]:
        """Calls by the value of the metadata that was counted."""
        return dict(self.figures["tally"])

    @property
    def throughput(self) -> float:
        """Calls a second."""
        return float(self.figures["throughput_per_second"])

    def latency_us(self, quantile: str) -> float:
        """Latency at "p50", "p90", "p99" or "max", µs."""
        return float(self.figures["latency_us"][quantile])

    def process(self, pid: int) -> dict[str, float]:
        """CPU and memory of a process that was measured."""
        found: dict[str, float] = next(p for p in self.figures["processes"] if p["pid"] == pid)
        return found


def load_command(target: str, **flags: object) -> list[str]:
    """The command; a flag's value may be a list, for a flag that is repeated."""
    command = [str(binary("cutover-bench")), "load", "--target", target, "--json"]
    for flag, value in flags.items():
        for one in value if isinstance(value, list) else [value]:
            command += [f"--{flag.replace('_', '-')}", str(one)]
    return command


def run_load(target: str, **flags: object) -> Load:
    """Runs a load to its end. Flags as of `cutover-bench load`, with `_` for `-`."""
    seconds = float(str(flags.get("duration", 10))) + float(str(flags.get("warmup", 0)))
    done = subprocess.run(
        load_command(target, **flags),
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds + _SLACK_S,
    )
    assert done.returncode == 0, done.stderr
    return Load(json.loads(done.stdout))


def finish_load(process: Process) -> Load:
    """Waits for a load that was started as a process of its own."""
    assert process.wait(timeout=_SLACK_S) == 0, process.tail()
    return Load(json.loads(process.lines[-1]))
