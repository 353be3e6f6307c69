"""The command as a process: what it prints, and how it ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1 import gazetteer_pb2_grpc as pb_grpc

_RUN = "import sys; from gazetteer_server.main import main; sys.exit(main())"
_COMMAND = [sys.executable, "-c", _RUN]


@contextmanager
def _running(database: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    arguments = ["--listen", "127.0.0.1:0", "--database", str(database)]
    process = subprocess.Popen(
        [*_COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def _ask(line: str) -> str:
    with grpc.insecure_channel(line.removeprefix("listening on ").strip()) as channel:
        stub = pb_grpc.GazetteerServiceStub(channel)
        return stub.GetPlace(pb.GetPlaceRequest(id=2), timeout=20).place.name


def _fails(*arguments: str) -> tuple[int, str]:
    ended = subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_it_is_asked_to_end(database: Path, number: signal.Signals) -> None:
    with _running(database) as (process, line):
        assert line.startswith("listening on 127.0.0.1:")
        assert _ask(line) == "Berlin"
        process.send_signal(number)
        rest, logs = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")
    assert [json.loads(line)["message"] for line in logs.splitlines()] == ["draining", "ended"]


def test_ends_at_once_if_asked_as_soon_as_it_listens(database: Path) -> None:
    with _running(database) as (process, line):
        process.terminate()
        process.communicate(timeout=20)
    assert line.startswith("listening on")
    assert process.returncode == 0


def test_ends_although_nobody_takes_its_telemetry(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with _running(database) as (process, line):
        assert _ask(line) == "Berlin"
        process.terminate()
        process.communicate(timeout=40)
    assert process.returncode == 0


def test_a_database_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    code, message = _fails("--database", str(path))
    assert code == 2
    assert f"there is no file {path}; run gazetteer-load --database {path}" in message


def test_a_database_that_is_none_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Sir or Madam, " * 100)
    code, message = _fails("--database", str(path))
    assert code == 1
    assert f"cannot use the database {path}" in message
    assert f"run gazetteer-load --database {path}" in message


def test_an_address_in_use_is_a_failure(database: Path, serve_port: int) -> None:
    address = f"127.0.0.1:{serve_port}"
    code, message = _fails("--listen", address, "--database", str(database))
    assert code == 1
    assert f"cannot listen on {address}; choose another address with --listen" in message


@pytest.fixture
def serve_port(serve: object) -> int:
    assert callable(serve)
    port = serve().port
    assert isinstance(port, int)
    return port
