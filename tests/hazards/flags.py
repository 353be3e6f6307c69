"""What the comparison says against the candidate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cutover.v1 import operator_pb2 as pb


@dataclass(frozen=True)
class Flag:
    """One thing that is said: a field, an operation or a gate."""

    subject: str
    method: str
    path: str
    kind: str

    def __str__(self) -> str:
        if self.subject == "gate":
            return f"{self.method}: gate {self.path} ({self.kind})"
        return f"{self.method}: {self.path} ({self.kind})"


def flags(report: pb.GetReportResponse) -> list[Flag]:
    """All that a report says: its findings, and the gates that speak against the candidate."""
    said = [
        Flag(finding.subject, finding.method.rpartition("/")[2], finding.path, finding.kind)
        for finding in report.findings
    ]
    judged = [(ramp.scope, ramp.verdict) for ramp in report.status.ramps]
    for decision in report.decisions:
        if decision.who == "ramp" and decision.action in ("rollback", "hold"):
            judged.append((decision.scope, decision.verdict))
    against = (flag for scope, verdict in judged for flag in _against(scope, verdict.gates))
    return [*said, *dict.fromkeys(against)]


def _against(scope: str, gates: Iterable[pb.Gate]) -> Iterable[Flag]:
    method = scope.rpartition("/")[2]
    for gate in gates:
        if gate.verdict == pb.VERDICT_KIND_ROLLBACK:
            yield Flag("gate", method, gate.name, "rollback")
