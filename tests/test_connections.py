"""Clients' connections at the edges: of another version of HTTP, too old, too many."""

import resource
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from foreign.backend import Backend
from foreign.service import CHAT, ECHO
from harness import CutoverUp, manifest, wait_until
from harness.middle import program

AGED_S = 3.5
SPARE_DESCRIPTORS = 12
CONNECTS = 300
PAUSES_A_SECOND = 20
"""How often each core tries to accept while it can't."""


@pytest.mark.parametrize("flags", [["--http1.1"], ["--http1.0"], ["--http1.1", "--head"]])
def test_curl_without_http2_is_told_what_this_port_speaks(
    flags: list[str], foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_legacy.url)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        command = [program("curl"), "-sS", "-i", "--max-time", "20", *flags, f"{up.url}{ECHO}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        head, _, body = done.stdout.partition("\n\n")
        assert head.splitlines()[0] == "HTTP/1.1 415 Unsupported Media Type"
        said = "" if "--head" in flags else "HTTP/2, with prior knowledge"
        assert said in body
        assert bool(body) == bool(said)
        wait_until(lambda: up.metrics().sum("cutover_refused_total", reason="http1") == 1)
    assert foreign_legacy.ledger() == []


def test_no_call_fails_while_connections_grow_old(
    foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_legacy.url, limits={"maxConnectionAge": "1s"})
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        until = time.monotonic() + AGED_S
        failed: list[grpc.RpcError] = []
        left: list[int] = []

        def call() -> None:
            states: list[grpc.ChannelConnectivity] = []
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(up.address, options=options) as channel:
                channel.subscribe(states.append)
                while time.monotonic() < until:
                    try:
                        assert channel.unary_unary(ECHO)(b"x", timeout=10) == b"x"
                    except grpc.RpcError as error:
                        failed.append(error)
            left.append(states.count(grpc.ChannelConnectivity.IDLE))

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        # Each went, and came back, at least once after its first connection.
        assert all(count >= 2 for count in left), left


def test_without_descriptors_left_it_waits_says_so_once_and_recovers(
    foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_legacy.url)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        names = [name.read_text() for name in Path(f"/proc/{up.pid}/task").glob("*/comm")]
        cores = sum(name.startswith("cutover-core") for name in names)
        talk: list[bytes] = [b"before", b"meanwhile", b"after"]
        go_on = threading.Semaphore(0)

        def said() -> Iterator[bytes]:
            for message in talk:
                go_on.acquire()
                yield message

        answers = channel.stream_stream(CHAT)(said(), timeout=60)
        go_on.release()
        assert next(answers) == talk[0][::-1]
        _, hard = resource.prlimit(up.pid, resource.RLIMIT_NOFILE)
        few = _descriptors(up.pid) + SPARE_DESCRIPTORS
        host, _, port = up.address.rpartition(":")
        with ExitStack() as stack:
            resource.prlimit(up.pid, resource.RLIMIT_NOFILE, (few, hard))
            began = time.monotonic()
            for _ in range(CONNECTS):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            wait_until(lambda: _told(up, "cannot accept connections") > 0, what="it is told")
            # Long enough for what is repeated to be seen.
            time.sleep(1)
            go_on.release()
            assert next(answers) == talk[1][::-1]
            told = _told(up, "cannot accept connections")
            resource.prlimit(up.pid, resource.RLIMIT_NOFILE, (hard, hard))
            lasted = time.monotonic() - began

            def recovered() -> bool:
                socket.create_connection((host, int(port)), timeout=10).close()
                return _told(up, "accepted again") == told

            wait_until(recovered, what="it recovers")
        with up.channel() as other:
            assert other.unary_unary(ECHO)(b"x", timeout=10) == b"x"
        go_on.release()
        assert next(answers) == talk[2][::-1]
        assert 0 < told <= cores
        tries = up.metrics().sum("cutover_refused_total", reason="accept_failed")
        assert told <= tries <= cores * (lasted * PAUSES_A_SECOND + 1)


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _told(up: CutoverUp, words: str) -> int:
    return up.process.stderr.read_text("utf-8").count(words)
