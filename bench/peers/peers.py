"""The proxies that are compared, each started as its own process, and the backend behind all."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import configs
import grpc
from harness import Process, binary, free_port, wait_until
from tools import program

READY_S = 120.0
"""Envoy under valgrind takes its time."""
MESSAGE = b"." * 138
"""The message of a call, as those who compare proxies send it."""
_CHECKED = 10


class WrongAnswer(Exception):
    """A peer that does not pass a call on as it should."""


@dataclass(frozen=True)
class Running:
    """A started proxy."""

    process: Process
    address: str
    admin: str | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def url(self) -> str:
        """As our own load names it."""
        return f"http://{self.address}"

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()


@dataclass(frozen=True)
class Start:
    """How a proxy is to be started."""

    scratch: Path
    backend: str
    under: Sequence[str] = ()
    """What it runs under: valgrind, or nothing."""
    rules: int = configs.RULES
    methods: int = configs.RULES
    """That descriptors name."""


@dataclass(frozen=True)
class Peer:
    """A proxy that can be started."""

    name: str
    start: Callable[[Start], Running]
    http2: bool = True
    """Whether it speaks HTTP/2 rather than passing bytes on."""
    whole: bool = True
    """Whether it is a proxy that people use, with time-outs and counters, or only a floor."""


def start_backend(scratch: Path) -> Running:
    """The service behind all of them: one thread that answers with what it is sent."""
    return _relay(Start(scratch, ""), "backend", [])


def check(running: Running) -> None:
    """Calls with a real client, and looks at what comes back.

    Raises:
        WrongAnswer: The answer is not the request, or the status is not OK.
    """
    sent = [bytes([index]) * 50 for index in range(_CHECKED)]
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(running.address, options=options) as channel:
        try:
            one = channel.unary_unary(configs.path(1))(MESSAGE, timeout=READY_S)
            many = list(channel.stream_stream(configs.path(1))(iter(sent), timeout=READY_S))
        except grpc.RpcError as error:
            raise WrongAnswer(
                f"{running.process.name}: {error.code()}: {error.details()}"
            ) from error
    if one != MESSAGE or many != sent:
        raise WrongAnswer(f"{running.process.name}: the answer is not what was sent")


def _cutover(how: Start) -> Running:
    manifest = configs.cutover(how.scratch, how.backend, how.rules, how.methods)
    command = [*how.under, binary("cutover"), "proxy", "--bootstrap", manifest, "--threads", "1"]
    process = Process("cutover", command, logs=how.scratch, env={"RUST_LOG": "warn"})
    with _stopped_on_failure(process):
        address = process.wait_for_line(r"^proxy listening on (\S+)$", timeout=READY_S)[1]
        admin = process.wait_for_line(r"^admin listening on (\S+)$", timeout=READY_S)[1]
    return Running(process, address, admin)


def _relay(how: Start, name: str, arguments: Sequence[str]) -> Running:
    command = [*how.under, binary("examples/relay"), *arguments]
    process = Process(name, command, logs=how.scratch)
    with _stopped_on_failure(process):
        address = process.wait_for_line(r"^listening on (\S+)$", timeout=READY_S)[1]
    return Running(process, address)


def _floor(how: Start) -> Running:
    return _relay(how, "floor", ["--upstream", how.backend])


def _haproxy(how: Start, *, http2: bool) -> Running:
    port = free_port()
    config = configs.haproxy(how.scratch, how.backend, port, http2=http2)
    command = [program("haproxy"), "-db", "-f", config]
    return _listening("haproxy" if http2 else "haproxy-tcp", command, how, port)


def _nginx(how: Start) -> Running:
    port = free_port()
    # Instructions are counted in one process.
    config = configs.nginx(how.scratch, how.backend, port, master=not how.under)
    command = [program("nginx"), "-p", how.scratch, "-c", config, "-e", "stderr"]
    return _listening("nginx", command, how, port)


def _envoy(how: Start, *, weighted: bool) -> Running:
    port = free_port()
    config = configs.envoy(how.scratch, how.backend, port, weighted=weighted)
    command = [
        *(program("envoy"), "-c", config, "--log-level", "error"),
        *("--concurrency", "1", "--disable-hot-restart"),
    ]
    return _listening("envoy-weighted" if weighted else "envoy", command, how, port)


def _listening(name: str, command: Sequence[str | Path], how: Start, port: int) -> Running:
    process = Process(name, [*how.under, *command], logs=how.scratch)

    def connects() -> bool:
        if not process.alive:
            raise WrongAnswer(f"{name} ended\n{process.tail()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    with _stopped_on_failure(process):
        wait_until(connects, timeout=READY_S, what=f"{name} listens")
    return Running(process, f"127.0.0.1:{port}")


@contextlib.contextmanager
def _stopped_on_failure(process: Process):  # noqa: ANN202
    try:
        yield
    except BaseException:
        process.stop()
        raise


OURS = "cutover"
PEERS = {
    OURS: Peer("Cutover", _cutover),
    "floor": Peer("frame relay, our floor", _floor, whole=False),
    "haproxy-tcp": Peer(
        "HAProxy, TCP only", lambda how: _haproxy(how, http2=False), http2=False, whole=False
    ),
    "haproxy": Peer("HAProxy, HTTP/2", lambda how: _haproxy(how, http2=True)),
    "nginx": Peer("nginx", _nginx),
    "envoy": Peer("Envoy", lambda how: _envoy(how, weighted=False)),
    "envoy-weighted": Peer("Envoy, weighted 50/50", lambda how: _envoy(how, weighted=True)),
}
"""Every proxy, by the word for it on the command line; ours is the first."""
