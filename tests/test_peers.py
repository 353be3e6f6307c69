"""Other implementations of HTTP/2 as clients, as arms, in front of the proxy and behind it."""

import asyncio
import os
import re
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from foreign.backend import Backend, start_foreign
from foreign.service import CHAT, COUNT, DETAILS, ECHO, FAIL, GATHER, INITIAL, TRAILING
from harness import Arm, CutoverUp, manifest, rule, run_load
from harness.middle import Middle, program

MIDDLES = ["haproxy", "nginx"]
GRPC = ("content-type: application/grpc", "te: trailers")


@pytest.fixture(scope="module")
def module_logs(artifacts: Path) -> Path:
    """Where this module's processes log."""
    return artifacts / "test_peers"


@pytest.fixture(scope="module")
def backend(module_logs: Path) -> Iterator[Backend]:
    """The foreign backend: grpcio as an arm."""
    with start_foreign("legacy", logs=module_logs) as backend:
        yield backend


@pytest.fixture(scope="module")
def up(
    backend: Backend, module_logs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CutoverUp]:
    """A proxy before the foreign backend."""
    scratch = tmp_path_factory.mktemp("peers")
    content = manifest(backend.url, backend.url)
    with CutoverUp(content, scratch=scratch, logs=module_logs) as up:
        yield up


def framed(message: bytes) -> bytes:
    """A message as gRPC puts it into DATA."""
    return struct.pack(">BI", 0, len(message)) + message


def messages(body: bytes) -> list[bytes]:
    """The messages in the DATA of an answer."""
    found = []
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        assert flag == 0
        found.append(body[5 : 5 + length])
        body = body[5 + length :]
    return found


def check_calls(channel: grpc.Channel) -> None:
    """One call of each kind, large ones and failing ones among them."""
    for size in (0, 1, 70_000, 1_000_000):
        sent = os.urandom(size)
        answer, call = channel.unary_unary(ECHO).with_call(sent, timeout=20)
        assert answer == sent
        initial = {(entry.key, entry.value) for entry in call.initial_metadata()}
        assert initial >= set(INITIAL)
        assert {(entry.key, entry.value) for entry in call.trailing_metadata()} >= set(TRAILING)
    received = list(channel.unary_stream(COUNT)(b"2000", timeout=30))
    assert received == [str(index).encode() for index in range(2_000)]
    pieces = [os.urandom(size % 300) for size in range(1_000)]
    assert channel.stream_unary(GATHER)(iter(pieces), timeout=30) == b"".join(pieces)
    answers = channel.stream_stream(CHAT)(iter(pieces), timeout=30)
    assert list(answers) == [piece[::-1] for piece in pieces]
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(FAIL)(b"NOT_FOUND", timeout=20)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert ("grpc-status-details-bin", DETAILS) in caught.value.trailing_metadata()


def test_grpcio(up: CutoverUp) -> None:
    with up.channel() as channel:
        check_calls(channel)


async def test_grpcio_by_asyncio(up: CutoverUp) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for index in range(300):
            yield str(index).encode()

    expected = [str(index).encode() for index in range(300)]
    async with grpc.aio.insecure_channel(up.address) as channel:
        echoed = await asyncio.gather(
            *(channel.unary_unary(ECHO)(bytes(size), timeout=20) for size in range(300))
        )
        assert [len(answer) for answer in echoed] == list(range(300))
        counted = [answer async for answer in channel.unary_stream(COUNT)(b"300", timeout=20)]
        assert counted == expected
        gathered = await channel.stream_unary(GATHER)(pieces(), timeout=20)
        assert gathered == b"".join(expected)
        chatted = [answer async for answer in channel.stream_stream(CHAT)(pieces(), timeout=20)]
        assert chatted == [piece[::-1] for piece in expected]


def test_tonic_calls_grpcio_and_tonic(
    legacy: Arm, candidate: Arm, database: Path, tmp_path: Path, logs: Path
) -> None:
    content = manifest(legacy.url, candidate.url, rules=[rule(weight=50)])
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        mix = "get=40,nearest=20,suggest=20,list=10,route=10"
        flags = {"calls": 300, "duration": 60, "concurrency": 8, "keys": 50}
        load = run_load(up.url, mix=mix, database=database, **flags)
        assert load.by_status == {"OK": load.calls}
        calls = up.metrics()
        for arm in ("legacy", "candidate"):
            assert calls.sum("cutover_calls_total", arm=arm) > 50


@pytest.mark.parametrize("middle", MIDDLES)
def test_another_proxy_in_front(middle: str, up: CutoverUp, tmp_path: Path, logs: Path) -> None:
    with (
        Middle(middle, up.address, scratch=tmp_path, logs=logs) as front,
        grpc.insecure_channel(front.address) as channel,
    ):
        check_calls(channel)


@pytest.mark.parametrize("middle", MIDDLES)
def test_another_proxy_behind(middle: str, backend: Backend, tmp_path: Path, logs: Path) -> None:
    with ExitStack() as stack:
        behind = stack.enter_context(Middle(middle, backend.address, scratch=tmp_path, logs=logs))
        content = manifest(behind.url, behind.url)
        up = stack.enter_context(CutoverUp(content, scratch=tmp_path, logs=logs))
        check_calls(stack.enter_context(up.channel()))


def nghttp(*flags: str | Path) -> str:
    """Runs nghttp; gives what it prints."""
    headers = [flag for header in GRPC for flag in ("-H", header)]
    command = [program("nghttp"), *headers, *map(str, flags)]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    return done.stdout.decode("utf-8", "replace")


def test_nghttp(up: CutoverUp, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(framed(b"a message"))
    said = nghttp("-v", "--no-dep", "-d", body, f"{up.url}{ECHO}")
    assert ":status: 200" in said
    assert "grpc-status: 0" in said
    assert "x-double: b" in said
    body.write_bytes(framed(b"1000"))
    # Padded frames, a window of 2^10 - 1 bytes, a table that shrinks and grows at once.
    odd = ("-b", "200", "-w", "10", "-W", "16")
    odd += ("--header-table-size", "0", "--header-table-size", "4096")
    said = nghttp("-nv", *odd, "-d", body, f"{up.url}{COUNT}")
    lengths = re.findall(r"recv \S*DATA\S* frame <length=(\d+)", said)
    assert sum(map(int, lengths)) == sum(5 + len(str(index)) for index in range(1_000))
    assert "grpc-status: 0" in said


def test_h2load(up: CutoverUp, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(framed(b"a message"))
    headers = [flag for header in GRPC for flag in ("-H", header)]
    command = [program("h2load"), "-n", "2000", "-c", "4", "-m", "50", "-d", str(body), *headers]
    command += ["--header-table-size", "100", "--encoder-header-table-size", "200"]
    done = subprocess.run(
        [*command, f"{up.url}{ECHO}"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout


@pytest.mark.parametrize(
    ("path", "sent", "expected"),
    [
        (ECHO, b"a message", [b"a message"]),
        (COUNT, b"500", [str(index).encode() for index in range(500)]),
    ],
)
def test_curl(up: CutoverUp, tmp_path: Path, path: str, sent: bytes, expected: list[bytes]) -> None:
    body, head, answer = tmp_path / "body", tmp_path / "head", tmp_path / "answer"
    body.write_bytes(framed(sent))
    headers = [flag for header in GRPC for flag in ("-H", header)]
    command = [program("curl"), "-sS", "--http2-prior-knowledge", "--max-time", "20", *headers]
    files = ["--data-binary", f"@{body}", "-D", str(head), "-o", str(answer)]
    subprocess.run([*command, *files, f"{up.url}{path}"], timeout=30, check=True)
    assert messages(answer.read_bytes()) == expected
    lines = head.read_text("utf-8").splitlines()
    assert lines[0].startswith("HTTP/2 200")
    assert "grpc-status: 0" in lines
