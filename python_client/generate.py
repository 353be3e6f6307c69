"""Generates the messages and stubs of both packages from the contracts in `proto/`.

`python generate.py` writes them; `python generate.py --check` writes them into a temporary
directory instead, compares, and exits with 1 and a diff if the committed files drifted.
The path of a contract is the path of its package, so no generated import needs rewriting.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent / "proto"
SOURCE = HERE / "src"
PACKAGES = ("gazetteer/v1", "cutover/v1")
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def main() -> int:
    """Parses the command line and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if not parser.parse_args().check:
        _generate(SOURCE)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        _generate(Path(scratch))
        drift = list(_drift(Path(scratch)))
    sys.stdout.writelines(drift)
    if drift:
        print("generated files drifted: run `python generate.py`", file=sys.stderr)
    return 1 if drift else 0


def _generate(target: Path) -> None:
    # protoc looks for the plugins of mypy-protobuf on PATH; they sit beside this interpreter,
    # whose environment need not be activated.
    scripts = sysconfig.get_path("scripts")
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    contracts = [
        str(path) for package in PACKAGES for path in sorted((PROTO / package).glob("*.proto"))
    ]
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTO}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out={target}",
            f"--mypy_grpc_out={target}",
            *contracts,
        ]
    )
    if code != 0:
        raise SystemExit(f"protoc failed with exit code {code}")


def _drift(fresh: Path) -> Iterator[str]:
    names = {path.relative_to(root) for root in (fresh, SOURCE) for path in _generated(root)}
    for name in sorted(names):
        old, new = (_lines(root / name) for root in (SOURCE, fresh))
        yield from difflib.unified_diff(old, new, f"committed/{name}", f"generated/{name}")


def _generated(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from (path for path in (root / package).glob("*") if path.name.endswith(SUFFIXES))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True) if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
