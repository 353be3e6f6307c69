"""One process: started, waited for by its output, and stopped."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

_TETHER = Path(__file__).with_name("tether.py")
_READY_S = 30.0
_STOP_S = 15.0
_TAIL_LINES = 30

_running: list[Process] = []


class ProcessEnded(AssertionError):
    """A process ended, or said nothing, while something was expected of it."""


class Process:
    """A process whose standard output is read line by line and whose errors go to a file.

    Start it from the main thread: the kernel ends it with the *thread* that started it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        logs: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Starts it.

        Args:
            name: For logs and errors.
            command: The program and its arguments.
            logs: Where NAME.stdout and NAME.stderr go; made if missing.
            env: On top of this process's environment.
            cwd: Its working directory.
        """
        logs.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.lines: list[str] = []
        self.stderr = logs / f"{name}.stderr"
        self._changed = threading.Condition()
        self._closed = False
        tethered = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid())]
        with self.stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*tethered, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                # A session of its own: Ctrl-C reaches whoever started it, and that one stops it.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, args=(logs / f"{name}.stdout",))
        self._reader.daemon = True
        self._reader.start()
        _running.append(self)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_for_line(self, pattern: str, *, timeout: float = _READY_S) -> re.Match[str]:
        """Waits for a line of standard output that the pattern is found in.

        Raises:
            ProcessEnded: It ended without one, or the time is over.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found
                if self._closed:
                    raise ProcessEnded(f"{self.name} ended without {pattern!r}\n{self.tail()}")
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise ProcessEnded(f"{self.name}: no {pattern!r} in time\n{self.tail()}")

    def wait(self, timeout: float = _STOP_S) -> int:
        """Waits for its end; gives the exit code (negative: the signal)."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ProcessEnded(f"{self.name} does not end\n{self.tail()}") from error
        self._reader.join()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; one that has ended hears nothing."""
        if self.alive:
            self._process.send_signal(number)

    def stop(self, *, timeout: float = _STOP_S) -> int:
        """Asks it to end (SIGTERM), kills it if it does not; gives the exit code."""
        self.signal(signal.SIGTERM)
        # One that is stopped hears SIGTERM only when it goes on.
        self.signal(signal.SIGCONT)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        with contextlib.suppress(ValueError):
            _running.remove(self)
        return self._process.returncode

    def tail(self) -> str:
        """The last lines of its standard error."""
        text = self.stderr.read_text("utf-8", "replace")
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _read(self, copy: Path) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout, copy.open("ab") as kept:
            for line in stdout:
                kept.write(line)
                with self._changed:
                    self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def stop_all() -> None:
    """Stops every process that still runs, the newest first."""
    for process in reversed(_running.copy()):
        process.stop()


def free_port() -> int:
    """A port that nobody listens on now, for where two processes must know it beforehand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


atexit.register(stop_all)
