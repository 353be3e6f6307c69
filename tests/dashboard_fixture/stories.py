"""The stories: states of the control plane that move with each tick, as the contract's messages.

They are built from the generated messages and printed by protobuf itself, so they leave out what
proto3 JSON leaves out, and cannot drift from the contract unnoticed.
"""

import math
from collections.abc import Callable

from cutover.v1 import control_plane_pb2 as plane
from cutover.v1 import operator_pb2 as operator

from dashboard_fixture import evidence
from dashboard_fixture.strings import HOSTILE

SERVICE = "/gazetteer.v1.GazetteerService/"
STEPS_BP = (100, 1_000, 5_000, 10_000)
# Calls a second, and median latencies of legacy and candidate in µs.
METHODS = {
    "FindNearest": (34.0, 21_400.0, 1_830.0),
    "GetPlace": (61.0, 1_480.0, 312.0),
    "ListPlaces": (2.4, 148_000.0, 23_600.0),
    "MeasureRoute": (5.2, 2_140.0, 405.0),
    "RecordVisit": (9.1, 2_260.0, 0.0),
    "SearchPlaces": (42.0, 31_800.0, 2_570.0),
    "Suggest": (18.0, 6_300.0, 720.0),
}
_WRITES = ("RecordVisit",)
_BEFORE = 1_260  # Ticks of a second that lie behind the first.

Change = Callable[[operator.Status, int], None]


class Story:
    """A status for each tick, and the lists that go with it."""

    def __init__(self, *, weight_bp: int, step: int, start_ms: int, change: Change) -> None:
        """Starts at tick 0 at `start_ms`; `change` turns the plain state into the story's."""
        self._weight_bp = weight_bp
        self._step = step
        self._start_ms = start_ms
        self._change = change

    def status(self, tick: int) -> operator.Status:
        """The state at a tick."""
        at_ms = self._start_ms + tick * 1_000
        status = operator.Status(
            name="gazetteer",
            generation=7,
            epoch=2,
            at_unix_ms=at_ms,
            steps_bp=STEPS_BP,
            methods=[_method(name, self._weight_bp, tick) for name in METHODS],
            ramps=[evidence.ramp("*", self._weight_bp, self._step, self._start_ms, tick)],
            proxies=[
                operator.ProxyStatus(
                    instance="9f2c41d07be84a55a1c0f3b8d6e7a290",
                    host="cutover-proxy-0",
                    version="0.1.0",
                    applied_generation=7,
                    connected=True,
                    reported_unix_ms=at_ms - 400,
                )
            ],
            processes=[
                operator.ProcessStatus(
                    arm=plane.ARM_LEGACY,
                    cpu_seconds=1_284 + 1.42 * tick,
                    cpu_cores=1.42 + 0.06 * math.sin(tick / 5),
                    memory_bytes=181_400_000 + 2_048 * tick,
                    threads=22,
                ),
                operator.ProcessStatus(
                    arm=plane.ARM_CANDIDATE,
                    cpu_seconds=96 + 0.17 * tick,
                    cpu_cores=0.171 + 0.01 * math.cos(tick / 4),
                    memory_bytes=61_200_000,
                    threads=6,
                ),
            ],
        )
        self._change(status, tick)
        return status

    def differences(self, method: str, path: str, limit: int) -> operator.ListDifferencesResponse:
        """Examples, newest first."""
        samples = [
            sample
            for sample in evidence.samples(self.status(0), self._start_ms)
            if method in ("", sample.method)
            and (path == "" or any(one.path == path for one in sample.differences))
        ]
        return operator.ListDifferencesResponse(samples=samples[: limit or 50])

    def traces(
        self, method: str, limit: int, *, only_mismatched: bool
    ) -> operator.ListTracePairsResponse:
        """Trace pairs, newest first."""
        pairs = [
            pair
            for pair in evidence.trace_pairs(self.status(0), self._start_ms)
            if method in ("", pair.method) and (pair.differences or not only_mismatched)
        ]
        return operator.ListTracePairsResponse(pairs=pairs[: limit or 20])

    def decisions(self, limit: int) -> operator.ListDecisionsResponse:
        """The decision log, newest first."""
        decisions = evidence.decisions(self.status(0), self._start_ms)
        return operator.ListDecisionsResponse(decisions=decisions[: limit or 50])

    def report(self, tick: int) -> operator.GetReportResponse:
        """The report."""
        status = self.status(tick)
        legacy, candidate = (
            evidence.quantiles(sum(m.arms[arm].latency.count for m in status.methods), p50)
            for arm, p50 in ((0, 11_900.0 + tick % 7 * 40), (1, 1_120.0 + tick % 5 * 9))
        )
        return operator.GetReportResponse(
            status=status,
            legacy_latency=legacy,
            candidate_latency=candidate,
            compared=sum(method.pairs.compared for method in status.methods),
            mismatched=sum(method.pairs.mismatched for method in status.methods),
        )


def _method(name: str, weight_bp: int, tick: int) -> operator.MethodStatus:
    rate, legacy_us, candidate_us = METHODS[name]
    written = name in _WRITES
    share = 0.0 if written else weight_bp / 10_000
    wave = 1 + 0.08 * math.sin(tick / 6 + len(name))
    calls = int(rate * (_BEFORE + tick))
    ours = int(calls * share)
    compared = 0 if written else int(calls * 0.97)
    fields, mismatched = evidence.fields(name, compared)
    return operator.MethodStatus(
        method=SERVICE + name,
        weight_bp=0 if written else weight_bp,
        weight_owner="manifest" if written else "ramp",
        arms=[
            evidence.arm(
                plane.ARM_LEGACY, calls - ours, ours, rate * (1 - share) * wave, legacy_us
            ),
            evidence.arm(
                plane.ARM_CANDIDATE, ours, compared - ours, rate * share * wave, candidate_us
            )
            if not written
            else operator.ArmStatus(arm=plane.ARM_CANDIDATE),
        ],
        pairs=plane.PairCounters(
            compared=compared,
            mismatched=mismatched,
            candidate_slower=compared // 180,
            legacy_slower=compared - compared // 180,
            not_compared={} if written else {"deadline": compared // 4_000 + 1, "queue_full": 3},
        ),
        fields=fields,
        traces=evidence.traces(name, compared),
    )


def _as_it_is(_status: operator.Status, _tick: int) -> None:
    """Leaves the plain state as it is."""


def _rolled_back(status: operator.Status, _tick: int) -> None:
    evidence.roll_back(status.ramps[0])
    method = next(m for m in status.methods if m.method.endswith("SearchPlaces"))
    failed = method.arms[1].calls // 40
    method.arms[1].failures = failed
    method.arms[1].by_status[0] = method.arms[1].calls - failed
    method.arms[1].by_status[13] = failed
    for method in status.methods:
        method.weight_bp = 0
        method.arms[0].calls_per_second += method.arms[1].calls_per_second
        method.arms[1].calls_per_second = 0


def _manifest_error(status: operator.Status, _tick: int) -> None:
    status.manifest_error = (
        "cutover.yaml:14:13: spec.rules[0].weight: 120 is outside 0 to 100\n"
        "a weight is a percentage in steps of 0.01, such as 12.5"
    )
    status.proxies[0].applied_generation = 6
    status.proxies.add(
        instance="02ab" * 8,
        host="cutover-proxy-1",
        version="0.1.0",
        applied_generation=7,
        error="no method Finde in the descriptors",
    )


def _override(status: operator.Status, _tick: int) -> None:
    status.overrides.add(
        scope=SERVICE + "SearchPlaces",
        weight_bp=2_500,
        who="dana",
        why="reproduce the ranking tie with real traffic",
        at_unix_ms=status.at_unix_ms - 840_000,
    )
    method = next(m for m in status.methods if m.method.endswith("SearchPlaces"))
    method.weight_bp, method.weight_owner = 2_500, "override"
    status.ramps[0].phase = operator.PHASE_PAUSED
    status.ramps[0].reason = "Paused by dana: reproduce the ranking tie with real traffic."


def _per_method(status: operator.Status, tick: int) -> None:
    entered_ms = status.ramps[0].entered_unix_ms
    del status.ramps[:]
    places = {"FindNearest": 3, "GetPlace": 2, "ListPlaces": 0, "MeasureRoute": -1, "Suggest": 1}
    for name, step in places.items():
        weight_bp = STEPS_BP[step] if step >= 0 else 0
        ramp = evidence.ramp(SERVICE + name, weight_bp, step, entered_ms + 700_000, tick)
        if step == 3:
            ramp.phase, ramp.hold_ms = operator.PHASE_HEALTHY, 0
        status.ramps.append(ramp)
    broken = evidence.ramp(SERVICE + "SearchPlaces", 1_000, 1, entered_ms + 700_000, tick)
    evidence.roll_back(broken)
    status.ramps.append(broken)
    for method in status.methods:
        for ramp in status.ramps:
            if ramp.scope == method.method:
                method.weight_bp = ramp.weight_bp


def _hostile(status: operator.Status, tick: int) -> None:
    status.name = HOSTILE[0]
    status.manifest_error = HOSTILE[1]
    status.ramps[0].reason = HOSTILE[2]
    status.ramps[0].phase = operator.PHASE_PAUSED
    status.ramps[0].verdict.gates[0].reason = HOSTILE[3]
    status.overrides.add(
        scope=HOSTILE[3], weight_bp=1, who=HOSTILE[0], why=HOSTILE[1], at_unix_ms=status.at_unix_ms
    )
    status.proxies[0].host = HOSTILE[1]
    status.proxies[0].error = HOSTILE[0]
    first = status.methods[0]
    first.weight_owner = HOSTILE[1]
    for path in HOSTILE:
        first.fields.add(path=path, kind=HOSTILE[0], pairs=3 + tick)
        first.traces.operations.add(key=path, legacy_calls=1, candidate_calls=7, n_plus_one=True)
    second = status.methods.add()
    second.CopyFrom(first)
    second.method = HOSTILE[1]


def _empty(status: operator.Status, _tick: int) -> None:
    for field in ("methods", "proxies", "processes"):
        status.ClearField(field)
    ramp = status.ramps[0]
    ramp.Clear()
    ramp.scope, ramp.phase, ramp.step = "*", operator.PHASE_PROGRESSING, -1


STORIES: dict[str, Callable[[int], Story]] = {
    "progressing": lambda ms: Story(weight_bp=1_000, step=1, start_ms=ms, change=_as_it_is),
    "rolled_back": lambda ms: Story(weight_bp=1_000, step=1, start_ms=ms, change=_rolled_back),
    "manifest_error": lambda ms: Story(weight_bp=100, step=0, start_ms=ms, change=_manifest_error),
    "override": lambda ms: Story(weight_bp=1_000, step=1, start_ms=ms, change=_override),
    "per_method": lambda ms: Story(weight_bp=1_000, step=1, start_ms=ms, change=_per_method),
    "hostile": lambda ms: Story(weight_bp=1_000, step=1, start_ms=ms, change=_hostile),
    "empty": lambda ms: Story(weight_bp=0, step=-1, start_ms=ms, change=_empty),
}
