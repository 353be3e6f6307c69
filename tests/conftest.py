"""Fixtures that end-to-end tests share. Arms and databases are started once for a whole run."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign.backend import Backend, start_foreign
from harness import ROOT, Arm, make_database, start_candidate, start_legacy
from harness.paths import copy_database

ARTIFACTS = ROOT / "tests" / ".artifacts"


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where logs of processes stay when the run is over; empty at its start."""
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    ARTIFACTS.mkdir(parents=True)
    return ARTIFACTS


@pytest.fixture
def logs(artifacts: Path, request: pytest.FixtureRequest) -> Path:
    """Where a test's own processes log."""
    name = re.sub(r"[^\w.-]+", "-", request.node.nodeid.rpartition("/")[2])
    return artifacts / name


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gazetteer's database with all its cities; no test writes to it."""
    return make_database(tmp_path_factory.mktemp("database"))


@pytest.fixture
def own_database(database: Path, tmp_path: Path) -> Path:
    """A copy for a test that records visits."""
    return copy_database(database, tmp_path / "own.db")


@pytest.fixture(scope="session")
def legacy(database: Path, artifacts: Path) -> Iterator[Arm]:
    """The Python arm, without telemetry, shared by tests that only read."""
    with start_legacy(database, logs=artifacts / "shared") as arm:
        yield arm


@pytest.fixture(scope="session")
def candidate(database: Path, artifacts: Path) -> Iterator[Arm]:
    """The Rust arm, without telemetry, shared by tests that only read."""
    with start_candidate(database, logs=artifacts / "shared") as arm:
        yield arm


@pytest.fixture
def foreign_legacy(logs: Path) -> Iterator[Backend]:
    """A foreign backend with an empty ledger."""
    with start_foreign("legacy", logs=logs) as backend:
        yield backend


@pytest.fixture
def foreign_candidate(logs: Path) -> Iterator[Backend]:
    """Another foreign backend with an empty ledger."""
    with start_foreign("candidate", logs=logs) as backend:
        yield backend
