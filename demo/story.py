"""What the demonstration tells: a line a second while the weight moves, and tables at the end."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence

from cutover import CutoverError
from cutover.v1 import operator_pb2 as pb
from cutover.v1.control_plane_pb2 import ARM_CANDIDATE, ARM_LEGACY
from harness import CutoverUp, Process
from measure import Comparison, number, table

INTERVAL_S = 1.0

PROMISES = {
    "throughput at saturation": "2–5× more",
    "CPU per call at saturation": "2–10× less",
    "CPU per call at equal load": "2–10× less",
    "memory at saturation": "30–70 % less",
    "memory at equal load": "30–70 % less",
    "latency p50 at equal load": "50–90 % better",
    "latency p90 at equal load": "50–90 % better",
    "latency p99 at equal load": "50–90 % better",
}
"""What such a migration is said to bring."""

_PHASES = {
    pb.PHASE_PROGRESSING: "progressing",
    pb.PHASE_PAUSED: "paused",
    pb.PHASE_DEGRADED: "DEGRADED",
    pb.PHASE_HEALTHY: "healthy",
}


class Story:
    """Prints lines with the time since the start; as readable in a file as on a terminal."""

    def __init__(self) -> None:
        """Begins now."""
        self._began = time.monotonic()

    def say(self, line: str) -> None:
        """One line."""
        print(f"[{time.monotonic() - self._began:5.1f} s] {line}", flush=True)

    def title(self, text: str) -> None:
        """A heading."""
        print(f"\n{text}\n{'=' * len(text)}", flush=True)

    def verdict(self, as_expected: bool, expected: str) -> None:
        """Whether the demonstration showed what it is for."""
        print(f"\n{'As expected' if as_expected else 'NOT as expected'}: {expected}.", flush=True)

    def callers(self, errors: dict[str, int]) -> None:
        """What callers saw."""
        seen = ", ".join(f"{count}× {what}" for what, count in errors.items())
        print(f"Errors that callers saw: {seen or 'none'}", flush=True)

    def follow(
        self,
        up: CutoverUp,
        callers: Sequence[Process],
        *,
        until: Callable[[pb.Status], bool],
        seconds: float,
    ) -> bool:
        """Tells how the ramp stands, once a second and whenever its weight changes.

        Args:
            up: The running `cutover up`.
            callers: Those who call.
            until: Ends it.
            seconds: Ends it too.

        Returns:
            Whether `until` came true.
        """
        ends = time.monotonic() + seconds
        weight, told = None, 0.0
        with up.operator() as operator:
            while (now := time.monotonic()) < ends:
                for process in [up.process, *callers]:
                    if not process.alive:
                        self.say(f"{process.name} ended by itself:\n{process.tail()}")
                        return False
                try:
                    status = operator.status()
                except CutoverError as error:
                    self.say(f"no status: {error}")
                    status = pb.Status()
                current = max((ramp.weight_bp for ramp in status.ramps), default=0)
                if current != weight or now - told >= INTERVAL_S:
                    if weight is not None and current != weight:
                        self.say(f">>> weight {weight / 100:g} % → {current / 100:g} %")
                    self.say(_line(status, self.counts(callers)))
                    weight, told = current, now
                if until(status):
                    return True
                time.sleep(0.1)
        return False

    @staticmethod
    def counts(callers: Sequence[Process]) -> Counter[str]:
        """What callers counted so far."""
        total: Counter[str] = Counter()
        for process in callers:
            if process.lines:
                total.update(json.loads(process.lines[-1]))
        return total


def _line(status: pb.Status, counts: Counter[str]) -> str:
    shares = {ARM_LEGACY: 0, ARM_CANDIDATE: 0}
    rate = 0.0
    for method in status.methods:
        for arm in method.arms:
            shares[arm.arm] = shares.get(arm.arm, 0) + arm.calls
            rate += arm.calls_per_second
    compared = sum(method.pairs.compared for method in status.methods)
    differ = sum(method.pairs.mismatched for method in status.methods)
    traces = sum(method.traces.compared for method in status.methods)
    errors = sum(
        count for what, count in counts.items() if what not in ("calls", "expected errors")
    )
    parts = [
        f"{rate:4.0f} calls/s",
        f"legacy {shares[ARM_LEGACY]:,} candidate {shares[ARM_CANDIDATE]:,}",
        f"compared {compared:,} differ {differ:,} traces {traces:,}",
        f"errors {errors}",
    ]
    for ramp in status.ramps:
        parts.insert(0, f"weight {ramp.weight_bp / 100:3.0f} % {_PHASES.get(ramp.phase, '?')}")
        parts.append(_verdict(ramp))
    return " | ".join(parts)


def _verdict(ramp: pb.RampStatus) -> str:
    words = {
        pb.VERDICT_KIND_ADVANCE: "advance",
        pb.VERDICT_KIND_WAIT: "wait",
        pb.VERDICT_KIND_ROLLBACK: "ROLLBACK",
    }
    gates = [gate for gate in ramp.verdict.gates if gate.verdict == ramp.verdict.kind]
    reason = gates[0].reason if gates else ""
    if ramp.phase == pb.PHASE_DEGRADED:
        return f"rolled back: {ramp.reason}"
    if ramp.verdict.kind == pb.VERDICT_KIND_ADVANCE and ramp.phase == pb.PHASE_PROGRESSING:
        return "advance: every gate is passed, the hold is not over"
    return f"{words.get(ramp.verdict.kind, '?')}: {reason}"


def migration_table(compared: Comparison) -> str:
    """Both arms beside what such a migration promises."""
    cells = [["", "legacy", "candidate", "unit", "measured", "promised"]]
    for ratio in compared.ratios():
        cells.append(
            [
                ratio.name,
                number(ratio.legacy),
                number(ratio.candidate),
                ratio.unit,
                _in_words(ratio.name, ratio.of_legacy),
                PROMISES.get(ratio.name, ""),
            ]
        )
    head = f"Both arms with the same calls; equal load is {compared.equal_rate:,.0f} calls/s\n\n"
    return head + table(cells)


def _in_words(name: str, share: float) -> str:
    if name.startswith("throughput"):
        return f"{share:.1f}× more"
    if name.startswith("CPU"):
        return f"{1 / share:.1f}× less" if share else "none"
    return f"{(1 - share) * 100:.0f} % {'better' if name.startswith('latency') else 'less'}"
