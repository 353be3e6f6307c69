"""The tables, for a terminal and for the docs."""

from __future__ import annotations

from collections.abc import Sequence

from measure import table
from stage import WARM_UP
from trying import Outcome

_HEAD = """# Porting hazards

Broken candidates, one hazard at a time, beside the real legacy: the comparison has to catch each
and call it by its name, a field, an operation or a gate, within {calls:,} calls. A clean candidate
must not be flagged. The tables are what this command measured:

```sh
make hazards
```

Each candidate is the real one with one mistake (`tests/broken/`; `gazetteer-broken --list-hazards`
says what each does). Every call that only reads is mirrored, 5 % are asked once more for noise, and
what a hazard has to be called stands in `tests/hazards/catalogue.py` before the run. Calls come in
batches, each 1.4 times the size of the one before, and the report is read after each: the calls to
detection are an upper bound. Times are judged in all setups (p99Ratio 1.0), with four calls at a
time; at weight 0, where the candidate answers only shadows, they never roll back. The arms tell
their memory every second, and the legacy has answered {warm_up:,} calls before the first candidate
comes. How soon a leak is proven depends on its size beside what the legacy's memory does by itself,
some MiB in 500 calls: with 16 KiB instead of the 64 KiB that `leak` leaves behind at each search,
the proof takes about as many calls as there are. The exit code is 1 if a hazard was missed or
misnamed, or a clean run flagged.

"""


def text(hazards: Sequence[Outcome], clean: Sequence[Outcome]) -> str:
    """For a terminal."""
    parts = []
    if hazards:
        rows = [["hazard", "is", "calls", "seconds", "named"]]
        for one in hazards:
            rows.append([one.name, _word(one), _calls(one), f"{one.seconds:.1f}", _named(one)])
        parts.append(table(rows))
    if clean:
        rows = [["clean run", "is", "calls", "pairs", "traces", "seconds"]]
        for one in clean:
            figures = (f"{one.calls:,}", f"{one.pairs:,}", f"{one.traces:,}")
            rows.append([one.name, _clean_word(one), *figures, f"{one.seconds:.1f}"])
        parts.append(table(rows))
    return "\n\n".join(parts)


def markdown(hazards: Sequence[Outcome], clean: Sequence[Outcome], calls: int) -> str:
    """For the docs."""
    lines = [_HEAD.format(calls=calls, warm_up=WARM_UP)]
    caught = sum(bool(one.named) for one in hazards)
    lines.append(f"{caught} of {len(hazards)} hazards are caught and named.\n\n")
    lines.append("| hazard | is | calls to detection | named, or why not | expected |\n")
    lines.append("| --- | --- | ---: | --- | --- |\n")
    for one in hazards:
        calls_to = _calls(one) if one.named else "–"
        said = one.limit if _word(one) == "MISSED" and one.limit else _code(_named(one))
        cells = (f"`{one.name}`", _word(one), calls_to, said, _code(one.expected))
        lines.append(f"| {' | '.join(cells)} |\n")
    unflagged = sum(not one.caught for one in clean)
    lines.append(f"\n{unflagged} of {len(clean)} clean runs raise nothing.\n\n")
    lines.append("| clean run | is | calls | pairs compared | traces compared | raised |\n")
    lines.append("| --- | --- | ---: | ---: | ---: | --- |\n")
    for one in clean:
        raised = _code("; ".join(one.others)) if one.others else "nothing"
        figures = (f"{one.calls:,}", f"{one.pairs:,}", f"{one.traces:,}")
        lines.append(f"| {' | '.join((one.name, _clean_word(one), *figures, raised))} |\n")
    return "".join(lines)


def as_expected(hazards: Sequence[Outcome], clean: Sequence[Outcome]) -> bool:
    """Whether every hazard was named and no clean run flagged."""
    unharmed = not any(one.trouble for one in (*hazards, *clean))
    return unharmed and all(one.named for one in hazards) and not any(one.caught for one in clean)


def _word(outcome: Outcome) -> str:
    if outcome.trouble:
        return "FAILED"
    if outcome.named:
        return "caught"
    return "misnamed" if outcome.others else "MISSED"


def _clean_word(outcome: Outcome) -> str:
    if outcome.trouble:
        return "FAILED"
    return "FLAGGED" if outcome.caught else "clean"


def _calls(outcome: Outcome) -> str:
    return f"{outcome.calls:,}"


def _named(outcome: Outcome) -> str:
    return outcome.named or outcome.trouble or "; ".join(outcome.others) or "–"


def _code(words: str) -> str:
    return words if words == "–" else "`" + words.replace("|", "\\|") + "`"
