#!/usr/bin/env python3
"""Runs h2spec's cases (generic, HPACK, HTTP/2) against the engine and against the proxy.

The engine stands alone (`relay`, which answers), then as a relay before another one, then in
`cutover up` with the first as both arms. One summary line each; exit code 1 if a case fails.
h2spec comes from Go's module proxy, into `.make/bin/`, when it isn't there.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from harness import CutoverUp, Process, manifest  # noqa: E402

# The newest that Go can install: later ones have a major version that their module does not name.
H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
BIN = ROOT / ".make" / "bin"
# How long h2spec waits for an answer, and we for all of it.
CASE_S = 5
ALL_S = 600


def h2spec() -> Path:
    """The program, installed first if it must be."""
    program = BIN / "h2spec"
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        sys.exit("h2spec needs Go: install it, or put h2spec at " + str(program))
    BIN.mkdir(parents=True, exist_ok=True)
    subprocess.run([go, "install", H2SPEC], env={**os.environ, "GOBIN": str(BIN)}, check=True)
    return program


def relay_program() -> Path:
    """The example relay, built."""
    command = ["cargo", "build", "--release", "--locked", "-p", "cutover-wire"]
    subprocess.run([*command, "--example", "relay"], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "examples" / "relay"


def check(program: Path, what: str, address: str, *, verbose: bool) -> bool:
    """Runs all cases against an address; prints the summary, and what failed or was skipped."""
    host, _, port = address.rpartition(":")
    command = [program, "-h", host, "-p", port, "-o", str(CASE_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ALL_S, check=False)
    summary = re.search(r"^\d+ tests, .*$", done.stdout, re.MULTILINE)
    print(f"{what}: {summary[0] if summary else 'no summary'}", flush=True)
    clean = done.returncode == 0 and summary is not None and summary[0].endswith(", 0 failed")
    if verbose or not clean:
        failures = done.stdout.partition("Failures:")[2]
        print(done.stdout if verbose else failures or done.stdout, done.stderr)
    return clean


def main() -> int:
    """Starts what is tested, tests it, says how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relay", type=Path, help="the example relay, if it is built already")
    parser.add_argument("--verbose", action="store_true", help="print each case")
    arguments = parser.parse_args()
    program, relay = h2spec(), arguments.relay or relay_program()
    listening = r"^listening on (\S+)$"
    clean = True
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = [relay, "--listen", "127.0.0.1:0"]
        answering = stack.enter_context(Process("answers", start, logs=scratch))
        arm = answering.wait_for_line(listening)[1]
        clean &= check(program, "wire, answering", arm, verbose=arguments.verbose)
        command = [*start, "--upstream", arm]
        relaying = stack.enter_context(Process("relays", command, logs=scratch))
        address = relaying.wait_for_line(listening)[1]
        clean &= check(program, "wire, relaying", address, verbose=arguments.verbose)
        content = manifest(f"http://{arm}", f"http://{arm}")
        proxy = stack.enter_context(CutoverUp(content, scratch=scratch, logs=scratch))
        clean &= check(program, "cutover", proxy.address, verbose=arguments.verbose)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
