"""`cutover`: a running `cutover up`, and commands that end by themselves."""

import json
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from cutover import Operator
from typing_extensions import Self

from harness.manifest import Yaml, write
from harness.metrics import Metrics, scrape
from harness.paths import binary
from harness.process import Process

_COMMAND_S = 30.0


class CutoverUp:
    """A running `cutover up`."""

    def __init__(
        self, manifest: Yaml | Path, *, scratch: Path, logs: Path, control_port: int = 0
    ) -> None:
        """Starts it and waits until it takes calls.

        Args:
            manifest: The manifest's content, or the file that it is in already.
            scratch: Where the manifest and the store go.
            logs: Where its output goes.
            control_port: Where proxies and arms connect, if those must know it beforehand.
        """
        if isinstance(manifest, Path):
            self.manifest = manifest
        else:
            self.manifest = write(scratch / "cutover.yaml", manifest)
        command: list[str | Path] = [
            *(binary("cutover"), "up", "-f", self.manifest),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--operator", "127.0.0.1:0"),
            *("--control-listen", f"127.0.0.1:{control_port}"),
            *("--store", scratch / "cutover.db"),
        ]
        self.process = Process("cutover", command, logs=logs)
        try:
            self.address = self.process.wait_for_line(r"^proxy listening on (\S+)$")[1]
            self.admin = self.process.wait_for_line(r"^admin listening on (\S+)$")[1]
            self.control = self.process.wait_for_line(r"^control listening on (\S+)$")[1]
            self.dashboard = self.process.wait_for_line(r"^dashboard at (http://\S+)$")[1]
        except BaseException:
            self.process.stop()
            raise
        self.operator_address = self.dashboard.removeprefix("http://").rstrip("/")

    @property
    def url(self) -> str:
        """The proxy, as a load names it."""
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def channel(self) -> grpc.Channel:
        """A new channel through the proxy."""
        return grpc.insecure_channel(self.address)

    def operator(self) -> Operator:
        """A new client of the operator's API."""
        return Operator(self.operator_address, who="tests")

    def metrics(self) -> Metrics:
        """What the proxy counts now."""
        return scrape(self.admin)

    def stop(self) -> int:
        """Stops it; gives the exit code."""
        return self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def run_cutover(
    *arguments: str | Path, timeout: float = _COMMAND_S
) -> subprocess.CompletedProcess[str]:
    """Runs a command of `cutover` to its end, whatever its exit code."""
    command = [binary("cutover"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)


def cutover_json(*arguments: str | Path) -> Any:
    """Runs a command with `--output json`; gives what it prints."""
    done = run_cutover(*arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def freeze(process: Process) -> None:
    """Stops a process where it stands (SIGSTOP)."""
    process.signal(signal.SIGSTOP)


def thaw(process: Process) -> None:
    """Lets a frozen process go on."""
    process.signal(signal.SIGCONT)
