"""The packages as such: facades, generated files, what the README shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from fakes import WAIT_S, FakeGazetteer, FakeOperator, serve

import cutover
import cutover.exceptions
import gazetteer
import gazetteer.exceptions

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent


@pytest.mark.parametrize("package", [cutover, cutover.aio, gazetteer])
def test_the_facade_offers_all_that_it_names(package: ModuleType) -> None:
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    modules = {"aio"} if package is cutover else set()
    assert set(package.__all__) == public | modules
    assert list(package.__all__) == sorted(package.__all__)


@pytest.mark.parametrize(
    ("package", "exceptions"),
    [(cutover, cutover.exceptions), (gazetteer, gazetteer.exceptions)],
)
def test_the_facade_offers_every_exception(package: ModuleType, exceptions: ModuleType) -> None:
    raised = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == exceptions.__name__
    }
    assert raised
    assert raised <= set(package.__all__)


@pytest.mark.parametrize("package", [cutover, gazetteer])
def test_the_package_says_that_it_is_typed(package: ModuleType) -> None:
    assert package.__file__ is not None
    assert (Path(package.__file__).parent / "py.typed").exists()


def test_the_generated_files_match_the_contracts() -> None:
    check = _run([sys.executable, str(PROJECT / "generate.py"), "--check"])
    assert check.returncode == 0, check.stdout + check.stderr


def test_the_check_notices_drift(tmp_path: Path) -> None:
    shutil.copytree(PROJECT.parent / "proto", tmp_path / "proto")
    copy = tmp_path / "python_client"
    shutil.copytree(PROJECT / "src", copy / "src")
    shutil.copy(PROJECT / "generate.py", copy)
    contract = tmp_path / "proto/gazetteer/v1/gazetteer.proto"
    contract.write_text(contract.read_text().replace("visit_count", "visits"))
    check = _run([sys.executable, str(copy / "generate.py"), "--check"])
    assert check.returncode == 1
    assert "+++ generated/gazetteer/v1/gazetteer_pb2.pyi" in check.stdout
    assert "run `python generate.py`" in check.stderr


def _examples() -> list[str]:
    text = (PROJECT / "README.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(_examples())))
def test_the_examples_of_the_readme_run(number: int) -> None:
    example = _examples()[number]
    with serve(FakeGazetteer(), FakeOperator()) as target:
        for port in ("50050", "50054"):
            example = example.replace(f"127.0.0.1:{port}", target)
        run = _run([sys.executable, "-W", "error", "-c", example])
    assert run.returncode == 0, run.stderr
    assert run.stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "OTEL" not in name}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, env=environment, check=False
    )
