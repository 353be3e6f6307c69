"""The figures beside each other, with what they are to be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import load
from figures import MANY, ONE_LONG, Figures
from holding import CONNECTIONS
from measure import number
from peers import OURS, PEERS
from tools import versions

_BEGIN = "<!-- written by `make bench-peers`: {} -->"
_END = "<!-- end -->"
_HTTP2 = ("haproxy", "nginx", "envoy", "envoy-weighted")


@dataclass(frozen=True)
class Row:
    """One figure of every peer."""

    name: str
    unit: str
    values: Mapping[str, float]
    least_is_best: bool = True


@dataclass(frozen=True)
class Target:
    """What one of our figures is to be."""

    words: str
    ours: float
    most: float

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.ours <= self.most


def rows(seen: Figures) -> Iterator[Row]:
    """Every figure that was measured."""
    shapes = list(load.SHAPES.items())
    for key, shape in shapes:
        if cpu := _column(seen.cpu_us, key):
            yield Row(f"CPU, {shape.name}", "µs/call", cpu)
    for key, shape in shapes:
        if not shape.rate and (rate := _column(seen.rate, key)):
            yield Row(f"calls, {shape.name}", "/s", rate, least_is_best=False)
    plain = [
        ("added p50, single", "µs", seen.added_p50_us),
        ("user instructions, busy", "/call", seen.instructions),
        ("memory at rest", "MiB", {name: held.rest for name, held in seen.memory.items()}),
    ]
    for streams in sorted({n for held in seen.memory.values() for n in held.by_streams}):
        values = {name: held.by_streams[streams] for name, held in seen.memory.items()}
        plain.append((f"memory, {CONNECTIONS:,} connections × {streams}", "MiB", values))
    for name in (ONE_LONG.name, MANY.name):
        plain.append((f"streaming, {name}", "µs/message", _column(seen.streaming_us, name)))
    grown = {name: held.after - held.before for name, held in seen.paused.items()}
    plain.append(("paused reader, memory added", "MiB", grown))
    yield from (Row(name, unit, values) for name, unit, values in plain if values)


def targets(seen: Figures) -> Iterator[Target]:
    """What ours are to be, as far as both sides were measured."""
    mine = seen.instructions.get(OURS)
    if mine:
        yield Target("user instructions per call, busy: at most 13,000", mine, 13_000)
    for key in ("busy", "wide"):
        cpu = _column(seen.cpu_us, key)
        for peer, share, words in (
            ("haproxy", 1 / 2, "half of HAProxy's"),
            ("envoy-weighted", 1 / 10, "a tenth of weighted Envoy's"),
        ):
            if OURS in cpu and peer in cpu:
                name = f"CPU, {load.SHAPES[key].name}: at most {words}"
                yield Target(name, cpu[OURS], cpu[peer] * share)
    below = [
        (f"CPU, {load.SHAPES[key].name}: below every peer's", _column(seen.cpu_us, key), _HTTP2)
        for key in ("single", "paced", "large")
    ]
    below.append(("added p50, single: below every peer's", seen.added_p50_us, _HTTP2))
    for name in (ONE_LONG.name, MANY.name):
        values = _column(seen.streaming_us, name)
        below.append(
            (f"streaming, {name}: below Envoy's and HAProxy's", values, ("haproxy", "envoy"))
        )
    for name, values, peers in below:
        others = [values[peer] for peer in peers if peer in values]
        if OURS in values and others:
            yield Target(name, values[OURS], min(others))
    memory = seen.memory
    if OURS in memory:
        yield Target("memory at rest: at most 10 MiB", memory[OURS].rest, 10)
        if "haproxy" in memory:
            name = "memory with 10 streams on each connection: at most half of HAProxy's"
            most = memory["haproxy"].by_streams[10] / 2
            yield Target(name, memory[OURS].by_streams[10], most)


def sections(seen: Figures) -> dict[str, str]:
    """All of it as texts by name, fit to be read as they are; without those that are empty."""
    made = {"peers": _beside_each_other(seen), "curves": _curves(seen)}
    return {name: "\n\n".join(parts) + "\n" for name, parts in made.items() if parts}


def as_json(seen: Figures) -> dict[str, object]:
    """Every figure, and every target."""
    wanted = [{**asdict(one), "met": one.met} for one in targets(seen)]
    return {**asdict(seen), "targets": wanted}


def write(target: Path, texts: Mapping[str, str]) -> None:
    """Puts each text between its marks in a document.

    Raises:
        ValueError: The document has no such marks.
    """
    document = target.read_text("utf-8")
    for name, text in texts.items():
        mark = _BEGIN.format(name)
        before, begin, rest = document.partition(mark)
        _, end, after = rest.partition(_END)
        if not begin or not end:
            raise ValueError(f"{target} has no lines {mark} and {_END}")
        document = f"{before}{begin}\n{text}{end}{after}"
    target.write_text(document, "utf-8")


def _beside_each_other(seen: Figures) -> list[str]:
    made = list(rows(seen))
    if not made:
        return []
    names = [name for name in PEERS if any(name in row.values for row in made)]
    parts = [
        f"{date.today():%Y-%m-%d}, {os.cpu_count()} cores shared with the load, medians of "
        f"{seen.rounds} rounds, load average {seen.load_average:.1f} beforehand. {versions()}. "
        "In parentheses: times ours.",
        _table(
            ["", *(PEERS[name].name for name in names)],
            [[f"{row.name}, {row.unit}", *_cells(row, names)] for row in made],
        ),
    ]
    if wanted := list(targets(seen)):
        parts.append(
            _table(
                ["target", "ours", "at most", ""],
                [
                    [one.words, number(one.ours), number(one.most), "met" if one.met else "missed"]
                    for one in wanted
                ],
            )
        )
    if seen.failures:
        parts.append("Failed:\n\n" + "\n".join(f"- {line}" for line in seen.failures))
    return parts


def _curves(seen: Figures) -> list[str]:
    return [
        _table(
            [what, *(f"{count:,}" for count in curve)],
            [["instructions", *(f"{found:,.0f}" for found in curve.values())]],
        )
        for what, curve in seen.curves.items()
    ]


def _column(figures: Mapping[str, Mapping[str, float]], key: str) -> dict[str, float]:
    return {peer: values[key] for peer, values in figures.items() if key in values}


def _cells(row: Row, names: Sequence[str]) -> Iterator[str]:
    ours = row.values.get(OURS)
    for name in names:
        value = row.values.get(name)
        if value is None:
            yield "–"
        elif name == OURS or not ours:
            yield number(value)
        else:
            yield f"{number(value)} ({value / ours:.2g})"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        padded = [first.ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:]), ""])
    return "\n".join([line(head), rule, *map(line, lines)])
