"""The proxy beside the proxies that people use, in one run: `make bench-peers`.

Never a test that passes or fails by its figures: it prints them beside the targets. It ends with 1
only where something failed to run, or a peer answered with errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The harness that starts processes is the tests' own; it is no package to install.
sys.path[1:1] = [str(ROOT / "tests"), str(ROOT / "bench")]

import report  # noqa: E402
import tools  # noqa: E402
from figures import KINDS, Plan, Run  # noqa: E402
from peers import PEERS  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="bench/peers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, help="of each shape; default 5, or 2 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds, for a look")
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help=" ".join(KINDS)
    )
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=PEERS, metavar="PEER", help=" ".join(PEERS)
    )
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into FILE")
    options = parser.parse_args(arguments)
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {line}", file=sys.stderr, flush=True)

    rounds = options.rounds or (2 if options.quick else 5)
    plan = Plan(options.only, options.peers, rounds, options.quick)
    try:
        tools.install(plan.started(), say)
        with tempfile.TemporaryDirectory(prefix="cutover-peers-") as scratch:
            seen = Run(plan, Path(scratch), say).measure()
        texts = report.sections(seen)
        if options.write:
            report.write(options.write, texts)
    except (tools.Missing, OSError, ValueError) as error:
        print(f"bench/peers: {error}", file=sys.stderr)
        return 1
    if options.output == "json":
        print(json.dumps(report.as_json(seen), indent=2))
    else:
        print("\n".join(texts.values()), end="")
    return 1 if seen.failures else 0


if __name__ == "__main__":
    sys.exit(main())
