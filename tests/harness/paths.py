"""Where programs and data are: `CUTOVER_BIN_DIR` and `GAZETTEER_DATABASE` say otherwise."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def binary(name: str) -> Path:
    """A program of the Rust workspace.

    Raises:
        FileNotFoundError: It is not built.
    """
    path = ROOT / os.environ.get("CUTOVER_BIN_DIR", "target/release") / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `cargo build --release`")
    return path


def script(name: str) -> Path:
    """A program of this virtual environment.

    Raises:
        FileNotFoundError: It is not installed.
    """
    path = Path(sys.executable).with_name(name)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `make venv`")
    return path


def make_database(scratch: Path) -> Path:
    """The gazetteer's database: the one named by `GAZETTEER_DATABASE`, else a new one."""
    if named := os.environ.get("GAZETTEER_DATABASE"):
        found = ROOT / named
        if found.is_file():
            return found
    path = scratch / "gazetteer.db"
    subprocess.run([script("gazetteer-load"), "--database", path], check=True, capture_output=True)
    return path


def copy_database(source: Path, target: Path) -> Path:
    """A copy that may be written to, whole even while others write to the source."""
    if Path(f"{source}-wal").exists():
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
    else:
        shutil.copyfile(source, target)
    return target
