"""The parts that the stories are put together from: figures, gates, samples, traces, decisions."""

from cutover.v1 import control_plane_pb2 as plane
from cutover.v1 import operator_pb2 as operator

from dashboard_fixture.strings import HOSTILE

_SERVICE = "/gazetteer.v1.GazetteerService/"
_PLACE = "db sqlite SELECT places"
_NAMES = "db sqlite SELECT names"
_VISITS = "db sqlite SELECT visits"


def quantiles(count: int, p50_us: float) -> operator.Quantiles:
    """A latency with a plausible tail."""
    if count == 0:
        return operator.Quantiles()
    return operator.Quantiles(count=count, p50_us=p50_us, p90_us=p50_us * 1.9, p99_us=p50_us * 4.3)


def arm(
    which: plane.Arm.ValueType, calls: int, shadow: int, rate: float, p50_us: float
) -> operator.ArmStatus:
    """One arm's figures."""
    not_found = calls // 50
    return operator.ArmStatus(
        arm=which,
        calls=calls,
        failures=calls // 9_000,
        by_status={0: calls - not_found - calls // 9_000, 5: not_found, 14: calls // 9_000},
        latency=quantiles(calls + shadow, p50_us),
        shadow_calls=shadow,
        calls_per_second=rate,
    )


def fields(name: str, compared: int) -> tuple[list[operator.FieldStatus], int]:
    """What differs in a method's answers, and the pairs that differ."""
    if name == "SearchPlaces":
        tie = compared // 2_600
        found = [
            operator.FieldStatus(path="search_id", kind="value", pairs=compared, noisy=True),
            operator.FieldStatus(path="results[].place.id", kind="order", pairs=tie),
            operator.FieldStatus(path="results[].score", kind="value", pairs=tie // 2),
        ]
        return found, compared
    if name == "GetPlace":
        found = [
            operator.FieldStatus(
                path="visit_count", kind="value", pairs=compared // 400, noisy=True
            )
        ]
        return found, compared // 400
    return [], 0


def traces(name: str, compared: int) -> operator.TraceStatus:
    """What both arms did over all trace pairs."""
    if name == "GetPlace":
        return operator.TraceStatus(
            compared=compared,
            mismatched=compared // 9,
            incomplete={"candidate_root": 4, "legacy_root": 9},
            operations=[
                _operation(_PLACE, compared, compared, 140, 88),
                operator.OperationStatus(
                    key=_NAMES,
                    legacy_calls=compared,
                    candidate_calls=compared * 2,
                    more_in_candidate=compared // 9,
                    legacy_self_us=compared * 210,
                    candidate_self_us=compared * 390,
                    n_plus_one=True,
                ),
                _operation(_VISITS, compared, compared, 120, 61),
            ],
        )
    if name == "ListPlaces":
        return operator.TraceStatus(
            compared=compared, operations=[_operation(_PLACE, compared, compared, 41_000, 9_100)]
        )
    return operator.TraceStatus(compared=compared)


def _operation(
    key: str, legacy: int, candidate: int, legacy_us: int, candidate_us: int
) -> operator.OperationStatus:
    return operator.OperationStatus(
        key=key,
        legacy_calls=legacy,
        candidate_calls=candidate,
        legacy_self_us=legacy * legacy_us,
        candidate_self_us=candidate * candidate_us,
    )


def ramp(scope: str, weight_bp: int, step: int, start_ms: int, tick: int) -> operator.RampStatus:
    """A ramp that waits for evidence."""
    n = 21_400 + 17 * tick
    return operator.RampStatus(
        scope=scope,
        phase=operator.PHASE_PROGRESSING,
        step=step,
        weight_bp=weight_bp,
        entered_unix_ms=start_ms - 1_060_000,
        hold_ms=1_800_000,
        verdict=operator.Verdict(
            kind=operator.VERDICT_KIND_WAIT,
            gates=[
                operator.Gate(
                    name="mismatch",
                    verdict=operator.VERDICT_KIND_WAIT,
                    reason=f"{n:,} pairs compared without a difference that counts; "
                    "under 0.01 % is not proven yet at 95 % confidence.",
                    n=n,
                    log_e=n * 0.00009,
                    log_threshold=2.9957,
                    more_calls=max(0, 33_500 - n),
                ),
                operator.Gate(
                    name="hold",
                    verdict=operator.VERDICT_KIND_WAIT,
                    reason="The hold of 30 min is not over.",
                ),
                operator.Gate(
                    name="min_calls",
                    verdict=operator.VERDICT_KIND_ADVANCE,
                    reason=f"The candidate answered {n // 9:,} calls at this step; 500 are wanted.",
                    n=n // 9,
                ),
                operator.Gate(
                    name="error_rate",
                    verdict=operator.VERDICT_KIND_ADVANCE,
                    reason="The candidate fails no more often than the legacy plus 0.1 %.",
                    n=n // 9,
                    s=2,
                    log_e=4.1,
                    log_threshold=2.9957,
                ),
                operator.Gate(
                    name="latency",
                    verdict=operator.VERDICT_KIND_ADVANCE,
                    reason="p99 of the candidate is 0.13 times that of the legacy; at most 1.0.",
                    n=n,
                ),
            ],
        ),
    )


def roll_back(ramp: operator.RampStatus) -> None:
    """The ramp after the candidate failed too often."""
    ramp.phase = operator.PHASE_DEGRADED
    ramp.weight_bp, ramp.step = 0, -1
    ramp.reason = (
        "The candidate fails more often than the legacy: of 17 failures that only one arm had, "
        "17 were the candidate's."
    )
    ramp.verdict.kind = operator.VERDICT_KIND_ROLLBACK
    del ramp.verdict.gates[1:]
    ramp.verdict.gates[0].CopyFrom(
        operator.Gate(
            name="paired_errors",
            verdict=operator.VERDICT_KIND_ROLLBACK,
            reason=ramp.reason,
            n=17,
            s=17,
            log_e=8.9,
            log_threshold=3.6889,
        )
    )


def samples(status: operator.Status, at_ms: int) -> list[plane.Sample]:
    """Examples of what differs; hostile where the status is."""
    hostile = any(method.method == HOSTILE[1] for method in status.methods)
    found = []
    for number in range(12):
        differences = [
            plane.Difference(
                path="results[].place.id",
                kind="order",
                legacy="[3041563, 2960]",
                candidate="[2960, 3041563]",
            ),
            plane.Difference(
                path="results[].score",
                kind="value",
                legacy="0.8421052631578947",
                candidate="0.8421052631578948",
                sufficient_relative=1.4e-16,
            ),
            plane.Difference(
                path="search_id",
                kind="value",
                legacy="#9f86d081884c7d65",
                candidate="#3c363836cf4e16d9",
            ),
        ]
        method = _SERVICE + "SearchPlaces"
        if hostile:
            method = status.methods[0].method
            differences = [
                plane.Difference(path=path, kind=HOSTILE[0], legacy=path, candidate=HOSTILE[1])
                for path in HOSTILE
            ]
        found.append(
            plane.Sample(
                id=900 - number,
                method=method,
                trace_id=_trace_id(number),
                primary=plane.ARM_LEGACY,
                at_unix_ms=at_ms - 4_000 * number,
                differences=differences,
            )
        )
    return found


def trace_pairs(status: operator.Status, at_ms: int) -> list[operator.TracePair]:
    """Trace pairs: every third with N+1 queries in the candidate, every fourth without any."""
    hostile = any(method.method == HOSTILE[1] for method in status.methods)
    pairs = []
    for number in range(30):
        repeated = 5 if number % 3 == 0 else 1
        wait = 70 * (number % 4)
        if number % 4 == 1:
            pairs.append(_without_queries(number, at_ms))
            continue
        pairs.append(
            operator.TracePair(
                trace_id=_trace_id(number),
                method=_SERVICE + "GetPlace",
                primary=plane.ARM_CANDIDATE if number % 5 == 0 else plane.ARM_LEGACY,
                at_unix_ms=at_ms - 2_500 * number,
                legacy=_spans([140, 210, 120], root_us=1_480 + wait, first_us=320),
                candidate=_spans(
                    [88, *[61] * repeated, 58], root_us=330 + 66 * repeated, first_us=40
                ),
                differences=[]
                if repeated == 1
                else [f"{_NAMES}: the legacy called it 1 time, the candidate {repeated} times"],
            )
        )
    if hostile:
        for pair, text in zip(pairs, HOSTILE, strict=False):
            pair.differences.append(text)
            pair.legacy[0].name = text
            pair.candidate[1].key = text
    return pairs


def _without_queries(number: int, at_ms: int) -> operator.TracePair:
    return operator.TracePair(
        trace_id=_trace_id(number),
        method=_SERVICE + "SearchPlaces",
        primary=plane.ARM_LEGACY,
        at_unix_ms=at_ms - 2_500 * number,
        legacy=_spans([], root_us=31_800, first_us=210),
        candidate=_spans([], root_us=2_570, first_us=30),
    )


def _spans(queries: list[int], *, root_us: int, first_us: int) -> list[operator.SpanSummary]:
    keys = [_PLACE, *[_NAMES] * (len(queries) - 2), _VISITS] if queries else []
    spans = [
        operator.SpanSummary(
            span_id="00f067aa0ba902b7", name="gazetteer.v1/GetPlace", duration_us=root_us
        ),
        operator.SpanSummary(
            span_id="00f067aa0ba902b8",
            depth=1,
            name="GetPlace handler",
            start_us=first_us // 2,
            duration_us=root_us - first_us,
        ),
    ]
    at_us = first_us
    for key, duration_us in zip(keys, queries, strict=True):
        spans.append(
            operator.SpanSummary(
                span_id=f"{at_us:016x}",
                depth=2,
                name=key.split(" ", 2)[2],
                key=key,
                start_us=at_us,
                duration_us=duration_us,
            )
        )
        at_us += duration_us + 9
    return spans


def decisions(status: operator.Status, at_ms: int) -> list[operator.Decision]:
    """The log that fits the status, newest first."""
    log = [
        operator.Decision(
            id=3,
            at_unix_ms=at_ms - 1_060_000,
            scope="*",
            action="advance",
            from_bp=100,
            to_bp=1_000,
            who="ramp",
            why="Every gate of step 1 % is passed.",
            verdict=ramp("*", 100, 0, at_ms, 0).verdict,
        ),
        operator.Decision(
            id=2,
            at_unix_ms=at_ms - 1_720_000,
            scope="*",
            action="advance",
            to_bp=100,
            who="ramp",
            why="500 pairs compared at weight 0.",
        ),
        operator.Decision(
            id=1,
            at_unix_ms=at_ms - 90_000_000,
            scope="*",
            action="manifest",
            who="dana",
            why="cutover.yaml was read for the first time.",
        ),
    ]
    for one in status.ramps:
        if one.phase == operator.PHASE_DEGRADED:
            log.insert(
                0,
                operator.Decision(
                    id=9,
                    at_unix_ms=at_ms - 42_000,
                    scope=one.scope,
                    action="rollback",
                    from_bp=1_000,
                    who="ramp",
                    why=one.reason,
                    verdict=one.verdict,
                    samples=[
                        operator.SamplePair(
                            trace_id=_trace_id(0),
                            method="/gazetteer.v1.GazetteerService/SearchPlaces",
                            at_unix_ms=at_ms - 43_000,
                            path="results[].score",
                            kind="value",
                        )
                    ],
                ),
            )
    for override in status.overrides:
        log.insert(
            0,
            operator.Decision(
                id=8,
                at_unix_ms=override.at_unix_ms,
                scope=override.scope,
                action="override",
                from_bp=1_000,
                to_bp=override.weight_bp,
                who=override.who,
                why=override.why,
            ),
        )
    return log


def _trace_id(number: int) -> str:
    return f"{(0x4BF92F3577B34DA6A3CE929D0E0E4736 * (number + 1)) % 2**128:032x}"
