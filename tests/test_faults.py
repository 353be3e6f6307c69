"""What is wrong with an arm does not become wrong for its callers."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from foreign.backend import Backend, start_foreign
from foreign.descriptors import write_descriptors
from foreign.service import CHAT, ECHO, SERVICE, WAIT
from harness import CutoverUp, free_port, manifest, rule, run_load, scrape, wait_until
from harness.cutover import freeze, thaw
from harness.manifest import write
from harness.planes import ControlPlane, ProxyAlone

MIRRORED = [rule(SERVICE, "Echo", weight=0, mirror={"percent": 100})]
LARGE_BYTES = (4 << 20) - (64 << 10)
"""A little less than what Python's servers take, and than what is compared at most."""
LARGE_CALLS = 1_000
MAY_TAKE_BYTES = 128 << 20
"""Of memory, each process."""
SOON_S = 2.0
"""Connection refused is told well within this."""


def test_a_frozen_shadow_changes_nothing_for_callers(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(
        foreign_legacy.url,
        foreign_candidate.url,
        rules=MIRRORED,
        limits={"mirrorQueue": 64, "mirrorDeadline": "500ms"},
        descriptors=write_descriptors(tmp_path / "foreign.bin"),
    )
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        usual = run_load(up.url, path=ECHO, calls=2_000, duration=60, concurrency=8)
        assert usual.by_status == {"OK": 2_000}
        wait_until(lambda: len(foreign_candidate.ledger(ECHO)) > 0)
        freeze(foreign_candidate.process)
        load = run_load(up.url, path=ECHO, calls=4_000, duration=60, concurrency=8)
        assert load.by_status == {"OK": 4_000}
        with up.channel() as channel:
            for _ in range(100):
                sent = os.urandom(1_000)
                assert channel.unary_unary(ECHO)(sent, timeout=10) == sent
        # Nobody waited for the shadow: half a second is its own deadline.
        assert load.latency_us("p99") < 250_000
        wait_until(lambda: _not_compared(up) > 0, what="drops are counted")
        thaw(foreign_candidate.process)
        before = len(foreign_candidate.ledger(ECHO))
        run_load(up.url, path=ECHO, calls=50, duration=30, concurrency=1)
        wait_until(lambda: len(foreign_candidate.ledger(ECHO)) > before, what="mirroring goes on")


def test_a_missing_shadow_changes_nothing_for_callers(
    foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    descriptors = write_descriptors(tmp_path / "foreign.bin")
    content = manifest(foreign_legacy.url, _nobody(), rules=MIRRORED, descriptors=descriptors)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        load = run_load(up.url, path=ECHO, calls=1_000, duration=60)
        assert load.by_status == {"OK": 1_000}
        wait_until(lambda: _not_compared(up) > 0, what="what was not compared is counted")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [(("--delay", "1"), "queue_full"), (("--pad", str(2 << 20)), "over_bound")],
    ids=["slow", "huge"],
)
def test_a_slow_or_huge_shadow_changes_nothing_for_callers(
    foreign_legacy: Backend, tmp_path: Path, logs: Path, flags: tuple[str, str], reason: str
) -> None:
    with start_foreign("candidate", logs=logs, extra=flags) as shadow:
        content = manifest(
            foreign_legacy.url,
            shadow.url,
            rules=MIRRORED,
            limits={"mirrorQueue": 16, "maxComparedMessageBytes": "1MiB"},
            descriptors=write_descriptors(tmp_path / "foreign.bin"),
        )
        with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
            wait_until(lambda: channel.unary_unary(ECHO)(b"x", timeout=10) and shadow.ledger(ECHO))
            started = time.monotonic()
            for _ in range(100):
                sent = os.urandom(1_000)
                assert channel.unary_unary(ECHO)(sent, timeout=10) == sent
            # One slow shadow after the other would have taken a second each.
            assert time.monotonic() - started < 30
            dropped = "cutover_pairs_not_compared_total"
            wait_until(lambda: up.metrics().sum(dropped, reason=reason) > 0, what=reason)


def test_a_thousand_mirrored_messages_of_4_mib_are_shed_within_128_mib(
    foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    with ExitStack() as stack:
        # A shadow that is not done with the first of them before the last one comes.
        shadow = stack.enter_context(start_foreign("candidate", logs=logs, extra=("--delay", "9")))
        content = manifest(
            foreign_legacy.url,
            shadow.url,
            rules=MIRRORED,
            limits={"mirrorMemory": "16MiB"},
            descriptors=write_descriptors(tmp_path / "foreign.bin"),
        )
        file = write(tmp_path / "cutover.yaml", content)
        plane = stack.enter_context(
            ControlPlane(file, store=tmp_path / "cutover.db", logs=logs / "control")
        )
        proxy = stack.enter_context(ProxyAlone("proxy", plane.address, logs=logs / "proxy"))
        channel = stack.enter_context(
            grpc.insecure_channel(proxy.address, options=[("grpc.max_receive_message_length", -1)])
        )
        echo = channel.unary_unary(ECHO)
        generation = "cutover_route_table_generation"
        wait_until(lambda: scrape(proxy.admin).sum(generation) > 0, what="a route table")
        wait_until(lambda: echo(b"x", timeout=10) and shadow.ledger(ECHO))
        sent = os.urandom(LARGE_BYTES)
        for _ in range(LARGE_CALLS):
            assert echo(sent, timeout=60) == sent
        over = scrape(proxy.admin).sum("cutover_pairs_not_compared_total", reason="over_bound")
        assert over > LARGE_CALLS / 2
        for process in (proxy.process, plane.process):
            assert _peak_bytes(process.pid) < MAY_TAKE_BYTES
        # And what was taken is given back: once the shadow is done, the next pair is compared.
        compared = "cutover_pairs_compared_total"
        before = scrape(proxy.admin).sum(compared)
        wait_until(
            lambda: echo(b"x", timeout=10) and scrape(proxy.admin).sum(compared) > before,
            timeout=60,
        )


def test_a_missing_legacy_is_told_at_once(
    foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(_nobody(), foreign_candidate.url, rules=[rule(weight=0)])
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        for _ in range(5):
            started = time.monotonic()
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(ECHO)(b"", timeout=10)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() - started < SOON_S
    assert foreign_candidate.ledger() == []


def test_a_missing_candidate_falls_over_to_the_legacy_and_is_counted(
    foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, _nobody(), rules=[rule(weight=100)])
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up:
        load = run_load(up.url, path=ECHO, calls=300, duration=60, tally="x-arm")
        assert load.by_status == {"OK": 300}
        assert load.tally == {"legacy": 300}
        assert up.metrics().sum("cutover_fallbacks_total") == 300
    assert len(foreign_legacy.ledger(ECHO)) == 300


def test_both_arms_missing_is_told_at_once(tmp_path: Path, logs: Path) -> None:
    content = manifest(_nobody(), _nobody(), rules=[rule(weight=50)])
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(ECHO)(b"", timeout=10)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - started < SOON_S


def test_an_arm_that_comes_back_is_found_again(tmp_path: Path, logs: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    content = manifest(f"http://{address}", f"http://{address}")
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        echo = channel.unary_unary(ECHO)

        def works() -> bool:
            call = echo.future(b"hello", timeout=5)
            assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
            return bool(call.code() == grpc.StatusCode.OK)

        assert not works()
        for _ in range(2):
            with start_foreign("legacy", logs=logs, listen=address):
                assert wait_until(works)


def test_a_shutdown_lets_calls_in_flight_end(
    foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_legacy.url)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        go_on = threading.Event()

        def requests() -> Iterator[bytes]:
            yield b"before"
            go_on.wait(30)
            yield b"after"

        call = channel.stream_stream(CHAT)(requests(), timeout=30)
        assert next(call) == b"erofeb"
        stopping = threading.Thread(target=up.process.stop)
        stopping.start()
        wait_until(lambda: _refuses(up.address), what="no new connection is taken")
        go_on.set()
        assert list(call) == [b"retfa"]
        stopping.join()
    assert up.process.wait() == 0


def test_a_call_that_its_deadline_ends_is_counted(
    foreign_legacy: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_legacy.url)
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.channel() as channel:
        for call in [channel.unary_unary(WAIT).future(b"", timeout=0.5) for _ in range(20)]:
            assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: up.metrics().sum("cutover_calls_total", role="primary") == 20)


def _refuses(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return False
    except OSError:
        return True


def _nobody() -> str:
    """A URL at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def _peak_bytes(pid: int) -> int:
    """The most memory that a process has ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    (kib,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kib) << 10


def _not_compared(up: CutoverUp) -> float:
    return up.metrics().sum("cutover_pairs_not_compared_total")
