#!/usr/bin/env python3
"""Fuzzes the engine and the proxy's core for a bounded time, and says how much was tried.

Each target starts from its corpus; what it finds on the way stays in `.make/fuzz/`. `--minimise`
puts the smallest set of inputs that covers as much into `corpus/`. A finding is a file in
`artifacts/` and exit code 1. `cargo fuzz run -s none TARGET` works here too; this needs no tool but
cargo and a C++ compiler, and no nightly toolchain: the engine has no unsafe code for a sanitizer.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / ".make" / "fuzz"
FOLDERS = {
    **dict.fromkeys(("frames", "hpack", "server", "client", "relay"), HERE),
    "core": ROOT / "proxy" / "fuzz",
}
"""Each target, and where its corpus is."""
# What `cargo fuzz build -s none` gives the compiler.
FLAGS = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
)
LONGEST_INPUT = 4_096
SLOWEST_S = 20
RSS_MIB = 1_500


def build(folder: Path) -> Path:
    """Builds a folder's targets; gives the folder that they are in."""
    triple = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))[1]
    # With a triple, the flags are not for build scripts.
    command = ["cargo", "build", "--release", "--locked", "--bins", "--target", triple]
    subprocess.run(
        [*command, "--target-dir", str(WORK / "target")],
        cwd=folder,
        env={**os.environ, "RUSTFLAGS": " ".join(FLAGS)},
        check=True,
    )
    return WORK / "target" / triple / "release"


def last(pattern: str, text: str) -> int:
    """The last number that a pattern finds, or 0."""
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def fuzz(binary: Path, seconds: int) -> tuple[int, int, int, bool]:
    """Runs a target; gives executions, coverage (edges), inputs, and whether it found nothing."""
    target = binary.name
    found = WORK / "corpus" / target
    artifacts = FOLDERS[target] / "artifacts" / target
    found.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    command = [
        *(binary, f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}"),
        *(f"-timeout={SLOWEST_S}", f"-rss_limit_mb={RSS_MIB}", f"-dict={HERE / 'dictionary'}"),
        *("-print_final_stats=1", f"-artifact_prefix={artifacts}/"),
        *(found, FOLDERS[target] / "corpus" / target),
    ]
    log = WORK / f"{target}.log"
    with log.open("wb") as output:
        code = subprocess.run(command, stderr=output, check=False).returncode
    text = log.read_text("utf-8", "replace")
    if code:
        print(text[-4_000:], file=sys.stderr)
    runs = last(r"number_of_executed_units: (\d+)", text)
    return runs, last(r"cov: (\d+)", text), last(r"corp: (\d+)", text), code == 0


def minimise(binary: Path) -> int:
    """Replaces a committed corpus by the smallest that covers as many edges; gives its size."""
    corpus = FOLDERS[binary.name] / "corpus" / binary.name
    merged = WORK / "merged" / binary.name
    merged.mkdir(parents=True, exist_ok=True)
    for file in merged.iterdir():
        file.unlink()
    # Edges only: how often one was passed makes corpora ten times as large.
    options = ["-merge=1", "-use_counters=0", f"-max_len={LONGEST_INPUT}"]
    sources = [WORK / "corpus" / binary.name, corpus]
    subprocess.run([binary, *options, merged, *sources], check=True, stderr=subprocess.DEVNULL)
    corpus.mkdir(parents=True, exist_ok=True)
    for file in corpus.iterdir():
        file.unlink()
    for file in merged.iterdir():
        (corpus / file.name).write_bytes(file.read_bytes())
    return len(list(corpus.iterdir()))


def main() -> int:
    """Builds, fuzzes each target in turn, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--minimise", action="store_true", help="renew corpus/ afterwards")
    parser.add_argument("targets", nargs="*", default=FOLDERS, metavar="TARGET")
    arguments = parser.parse_args()
    folders = {FOLDERS[target] for target in arguments.targets}
    built = {folder: build(folder) for folder in sorted(folders)}
    print(f"{'target':10}{'executions':>14}{'edges':>8}{'inputs':>8}")
    total, clean = 0, True
    for target in arguments.targets:
        folder = built[FOLDERS[target]]
        runs, edges, inputs, ok = fuzz(folder / target, arguments.seconds)
        print(f"{target:10}{runs:>14,}{edges:>8,}{inputs:>8,}{'' if ok else '  FOUND SOMETHING'}")
        sys.stdout.flush()
        total, clean = total + runs, clean and ok
        if arguments.minimise:
            print(f"{'':10}corpus: {minimise(folder / target)} inputs")
    seconds = arguments.seconds * len(arguments.targets)
    print(f"{total:,} executions in {seconds} s: {'nothing found' if clean else 'see above'}")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
