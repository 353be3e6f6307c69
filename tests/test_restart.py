"""A control plane that is killed at any moment is, once started again, where it was seen last."""

import contextlib
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cutover import CutoverError, Operator
from cutover.v1 import operator_pb2 as pb
from harness import manifest
from harness.manifest import write
from harness.planes import ControlPlane, PlayedProxy

KILLS = 30
LONGEST_S = 0.4
"""Between a start and its end; a ramp climbs and falls in about half of that."""
RAMP = {
    "scope": "service",
    "interval": "10ms",
    "steps": [{"weight": 1}, {"weight": 10}, {"weight": 50}, {"weight": 100}],
    "gates": {"minCalls": 100, "errorRateMargin": "10%", "mismatchBelow": "10%"},
}

Place = tuple[int, int, int, int, tuple[tuple[str, int], ...]]
"""Phase, step, weight, epoch, overrides."""


def place(status: pb.Status) -> Place:
    """Where the one ramp stands, and what operators have overridden."""
    (ramp,) = status.ramps
    overrides = tuple((one.scope, one.weight_bp) for one in status.overrides)
    return ramp.phase, ramp.step, ramp.weight_bp, status.epoch, overrides


@dataclass
class Seen:
    """The newest state that anybody was shown, and the answers that changes got."""

    generation: int = 0
    place: Place | None = None
    decisions: dict[int, str] = field(default_factory=dict)
    acknowledged: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, status: pb.Status) -> None:
        """Notes a state."""
        with self.lock:
            if status.generation >= self.generation:
                self.generation, self.place = status.generation, place(status)


@pytest.mark.timeout(240)
def test_a_ramp_that_is_killed_at_any_moment_goes_on_where_it_was_seen_last(
    tmp_path: Path, logs: Path
) -> None:
    chance = random.Random(7)
    file = write(tmp_path / "cutover.yaml", manifest("http://a:1", "http://a:2", ramp=RAMP))
    seen = Seen()
    actions: set[str] = set()
    for number in range(KILLS):
        plane = ControlPlane(file, store=tmp_path / "cutover.db", logs=logs / str(number))
        with plane.operator() as operator:
            first = operator.status()
            if seen.place is not None:
                _is_where_it_was(seen, first)
            log = {one.id: one.action for one in operator.decisions(limit=500)}
            assert seen.decisions.items() <= log.items(), "a decision was forgotten"
            assert sum(_is_mine(one) for one in log.values()) >= seen.acknowledged
            actions |= set(log.values())
            _agrees_with_the_log(operator, first)
        seen.take(first)
        _meddle(plane, seen, chance, chance.uniform(0, LONGEST_S))
    assert actions >= {"advance", "rollback", "pause", "resume", "promote", "abort", "override"}


def _is_where_it_was(seen: Seen, now: pb.Status) -> None:
    """The state that was seen last, or a later one: a start alone takes one generation."""
    assert now.generation >= seen.generation
    if now.generation <= seen.generation + 1:
        assert place(now) == seen.place


def _agrees_with_the_log(operator: Operator, now: pb.Status) -> None:
    (ramp,) = now.ramps
    moves = [d for d in operator.decisions(limit=1) if d.action not in ("override", "reset")]
    for last in moves:
        assert (ramp.weight_bp, ramp.phase) == (last.to_bp, last.phase)


def _is_mine(action: str) -> bool:
    return action not in ("advance", "rollback", "manifest")


def _meddle(plane: ControlPlane, seen: Seen, chance: random.Random, seconds: float) -> None:
    """Watches and moves the ramp, while it climbs and falls by itself; then the kill."""
    over = threading.Event()
    proxy = PlayedProxy(plane.address)
    seeds = chance.random()
    threads = [
        threading.Thread(target=_watch, args=(plane, seen, over)),
        threading.Thread(target=_move, args=(plane, seen, over, random.Random(seeds))),
    ]
    for thread in threads:
        thread.start()
    # Nothing is waited for: the kill comes at a random moment, whatever is going on.
    time.sleep(seconds)
    plane.kill()
    over.set()
    for thread in threads:
        thread.join()
    proxy.close()


def _watch(plane: ControlPlane, seen: Seen, over: threading.Event) -> None:
    with plane.operator() as operator, contextlib.suppress(CutoverError):
        while not over.is_set():
            seen.take(operator.status())
            log = {one.id: one.action for one in operator.decisions(limit=500)}
            with seen.lock:
                seen.decisions |= log


def _move(plane: ControlPlane, seen: Seen, over: threading.Event, chance: random.Random) -> None:
    with plane.operator() as operator:
        moves = (
            lambda: operator.pause(why="by chance"),
            lambda: operator.resume(why="by chance"),
            lambda: operator.resume(why="by chance"),
            lambda: operator.promote(why="by chance"),
            lambda: operator.promote(full=True, why="by chance"),
            lambda: operator.abort(why="by chance"),
            lambda: operator.set_weight(chance.randrange(101), why="by chance"),
            lambda: operator.reset_weight(why="by chance"),
        )
        while not over.is_set():
            over.wait(chance.uniform(0, 0.05))
            # Most moves are refused in most states; and the plane is killed in between.
            with contextlib.suppress(CutoverError):
                status = chance.choice(moves)()
                with seen.lock:
                    seen.acknowledged += 1
                seen.take(status)
