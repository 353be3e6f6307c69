"""Real processes for tests, the benchmark and the demonstration: both arms, `cutover up`, loads.

Every process listens on a port of its own choice, is waited for by what it prints, and ends with
the process that started it, whatever happens to that one.
"""

from harness.arms import Arm, start_broken, start_candidate, start_legacy
from harness.cutover import CutoverUp, run_cutover
from harness.load import Load, run_load
from harness.manifest import manifest, rule
from harness.metrics import Metrics, scrape
from harness.paths import ROOT, binary, make_database, script
from harness.process import Process, ProcessEnded, free_port, stop_all
from harness.waiting import wait_until

__all__ = [
    "ROOT",
    "Arm",
    "CutoverUp",
    "Load",
    "Metrics",
    "Process",
    "ProcessEnded",
    "binary",
    "free_port",
    "make_database",
    "manifest",
    "rule",
    "run_cutover",
    "run_load",
    "scrape",
    "script",
    "start_broken",
    "start_candidate",
    "start_legacy",
    "stop_all",
    "wait_until",
]
