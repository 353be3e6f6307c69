"""What a process and its children use, from `/proc`."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_ns(pid: int) -> int:
    """CPU time of all threads so far, ns: the scheduler's own count, finer than clock ticks."""
    return sum(
        int(stat.read_text().split()[0])
        for process in _family(pid)
        for stat in Path(f"/proc/{process}/task").glob("*/schedstat")
    )


def resident_bytes(pid: int) -> int:
    """Resident memory, bytes. Pages that parent and child share count for both."""
    return sum(
        int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
        for process in _family(pid)
    )


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # The name is in parentheses and may hold anything; the parent follows the state.
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found
