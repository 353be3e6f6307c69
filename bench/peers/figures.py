"""Everything that is measured in one run."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import holding
import instructions
import load
import usage
from configs import path
from harness import scrape, wait_until
from instructions import Calls
from peers import MESSAGE, OURS, PEERS, Peer, Running, Start, WrongAnswer, check, start_backend

DIRECT = "direct"
"""The backend without a proxy."""
KINDS = (*load.SHAPES, "instructions", "memory", "streaming", "curves")
ONE_LONG = holding.Stream("one call of 100,000", 1, 100_000, 1)
MANY = holding.Stream("1,000 calls of 1,000", 1_000, 1_000, 10)

_MOST_KEYS = 100

Say = Callable[[str], None]
Failures = (AssertionError, OSError, RuntimeError, WrongAnswer, grpc.RpcError, TimeoutError)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    kinds: Sequence[str]
    peers: Sequence[str]
    rounds: int = 5
    quick: bool = False

    def started(self) -> Sequence[str]:
        """The peers that are needed: curves are only of our own."""
        return (OURS,) if set(self.kinds) == {"curves"} else self.peers

    def shape(self, name: str) -> load.Shape:
        """A shape, short if it is to be quick."""
        shape = load.SHAPES[name]
        return shape.with_calls(shape.calls // 5) if self.quick else shape


@dataclass
class Figures:
    """What one run saw, by peer and then by figure; a figure that failed is missing."""

    rounds: int
    load_average: float
    """Of the machine over the minute before: above 1, others disturbed the timings."""
    cpu_us: dict[str, dict[str, float]] = field(default_factory=dict)
    rate: dict[str, dict[str, float]] = field(default_factory=dict)
    added_p50_us: dict[str, float] = field(default_factory=dict)
    instructions: dict[str, float] = field(default_factory=dict)
    memory: dict[str, holding.Memory] = field(default_factory=dict)
    streaming_us: dict[str, dict[str, float]] = field(default_factory=dict)
    paused: dict[str, holding.Paused] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """What failed to run, or was answered with errors."""


class Run:
    """One run: its backend, its proxies and what it has seen."""

    def __init__(self, plan: Plan, scratch: Path, say: Say) -> None:
        """Nothing is started yet."""
        self.plan = plan
        self.scratch = scratch
        self.say = say
        self.seen = Figures(plan.rounds, os.getloadavg()[0])

    def measure(self) -> Figures:
        """Measures all that the plan names."""
        with ExitStack() as stack:
            backend = stack.enter_context(start_backend(self.scratch))
            how = Start(self.scratch, backend.address)
            shapes = [kind for kind in self.plan.kinds if kind in load.SHAPES]
            if shapes or "streaming" in self.plan.kinds:
                self._side_by_side(how, backend, shapes)
            for name, peer in self._peers():
                if "memory" in self.plan.kinds and peer.whole:
                    with self._kept(f"memory of {peer.name}"):
                        self._memory(name, peer, how)
                if "streaming" in self.plan.kinds and peer.whole:
                    with self._kept(f"{peer.name} with a paused reader"):
                        self._paused(name, peer, how)
                if "instructions" in self.plan.kinds and not self._too_slow(name):
                    with self._kept(f"instructions of {peer.name}"):
                        found = instructions.per_call(name, how, Calls())
                        self.seen.instructions[name] = found
                        self.say(f"{peer.name}: {found:,.0f} instructions a call")
            if "curves" in self.plan.kinds:
                with self._kept("curves"):
                    quick = self.plan.quick
                    self.seen.curves = instructions.curves(how, quick=quick, say=self.say)
        return self.seen

    def _peers(self) -> Iterator[tuple[str, Peer]]:
        yield from ((name, PEERS[name]) for name in self.plan.peers)

    def _too_slow(self, name: str) -> bool:
        # Under callgrind Envoy takes minutes.
        return name.startswith("envoy") and self.plan.quick

    def _side_by_side(self, how: Start, backend: Running, shapes: Sequence[str]) -> None:
        """All proxies run at once, those not measured idle; rounds go from one to the next."""
        with ExitStack() as stack:
            running: dict[str, Running] = {}
            for name, peer in self._peers():
                with self._kept(peer.name):
                    started = stack.enter_context(peer.start(how))
                    check(started)
                    running[name] = started
            keys = _keys(running[OURS]) if OURS in running else ("a", "b")
            for name in shapes:
                self._shape(name, running, backend, keys)
            if "streaming" in self.plan.kinds:
                for stream in (ONE_LONG, MANY):
                    self._stream(stream, running)

    def _shape(
        self, name: str, running: dict[str, Running], backend: Running, keys: Sequence[str]
    ) -> None:
        shape = self.plan.shape(name)
        single = name == "single"
        targets = {**({DIRECT: backend} if single else {}), **running}
        rounds: dict[str, list[tuple[float, float, float]]] = {target: [] for target in targets}
        for number in range(1, self.plan.rounds + 1):
            for target, proxy in targets.items():
                with self._kept(f"{target}, {shape.name}"):
                    before = usage.cpu_ns(proxy.pid)
                    seen = load.run(proxy.address, shape, self.scratch, keys=keys, latency=single)
                    cpu = (usage.cpu_ns(proxy.pid) - before) / max(seen.calls, 1) / 1e3
                    if seen.failed:
                        raise WrongAnswer(f"{seen.failed} of {shape.calls} calls failed")
                    rounds[target].append((cpu, seen.rate, seen.p50_us))
            self.say(
                f"{shape.name}, {number}/{self.plan.rounds}, CPU µs a call: "
                + ", ".join(f"{target} {got[-1][0]:.1f}" for target, got in rounds.items() if got)
            )
        for target, got in rounds.items():
            if got and target != DIRECT:
                cpus, rates, p50s = zip(*got, strict=True)
                self.seen.cpu_us.setdefault(target, {})[name] = statistics.median(cpus)
                self.seen.rate.setdefault(target, {})[name] = statistics.median(rates)
                if single and len(rounds[DIRECT]) == len(got):
                    added = [p50 - own[2] for p50, own in zip(p50s, rounds[DIRECT], strict=True)]
                    self.seen.added_p50_us[target] = statistics.median(added)

    def _stream(self, stream: holding.Stream, running: dict[str, Running]) -> None:
        if self.plan.quick:
            calls = max(stream.calls // 10, 1)
            stream = holding.Stream(stream.name, calls, stream.messages, stream.connections)
        times: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(1 if self.plan.quick else 3):
            for name, proxy in running.items():
                with self._kept(f"{name}, {stream.name}"):
                    times[name].append(holding.streamed(proxy, stream))
        for name, got in times.items():
            if got:
                self.seen.streaming_us.setdefault(name, {})[stream.name] = statistics.median(got)
        words = ", ".join(f"{name} {got[-1]:.2f}" for name, got in times.items() if got)
        self.say(f"{stream.name} messages, CPU µs a message: {words}")

    def _memory(self, name: str, peer: Peer, how: Start) -> None:
        # A port of its own: to the other one, nginx has left too many connections in TIME_WAIT.
        with start_backend(self.scratch) as backend:
            found = holding.memory(name, replace(how, backend=backend.address))
        self.seen.memory[name] = found
        held = ", ".join(f"{mib:.0f} with {n}" for n, mib in found.by_streams.items())
        self.say(
            f"{peer.name}: {found.rest:.1f} MiB at rest; {holding.CONNECTIONS:,} connections: "
            f"{held} streams on each"
        )

    def _paused(self, name: str, peer: Peer, how: Start) -> None:
        found = holding.paused(name, how)
        self.seen.paused[name] = found
        self.say(f"{peer.name}, paused reader: {found.before:.1f} → {found.after:.1f} MiB")

    @contextmanager
    def _kept(self, what: str) -> Iterator[None]:
        """What fails in it is noted and told; the run goes on."""
        try:
            yield
        except Failures as error:
            said = str(error).splitlines() or [repr(error)]
            line = f"{what}: {' … '.join(dict.fromkeys([said[0], said[-1]]))}"
            if line not in self.seen.failures:
                self.seen.failures.append(line)
            self.say(f"FAILED {line}")


def _keys(ours: Running) -> tuple[str, str]:
    """Two sticky keys, one for each arm: both arms take half of the calls."""
    assert ours.admin is not None
    found: dict[str, str] = {}
    with grpc.insecure_channel(ours.address) as channel:
        call = channel.unary_unary(path(1))
        for number in range(_MOST_KEYS):
            key = f"caller-{number}"
            before = _by_arm(ours.admin)
            call(MESSAGE, metadata=(("x-user-id", key),), timeout=10)
            arm = wait_until(lambda before=before: _grown(ours.admin, before), what="a call counts")
            found.setdefault(arm, key)
            if len(found) == 2:
                return found["legacy"], found["candidate"]
    raise WrongAnswer(f"{_MOST_KEYS} sticky keys all chose the same arm: {found}")


def _grown(admin: str, before: dict[str, float]) -> str | None:
    now = _by_arm(admin)
    return next((arm for arm, calls in now.items() if calls > before[arm]), None)


def _by_arm(admin: str) -> dict[str, float]:
    metrics = scrape(admin)
    return {arm: metrics.sum("cutover_calls_total", arm=arm) for arm in ("legacy", "candidate")}
