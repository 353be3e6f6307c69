"""A Postgres of its own for a test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

import pytest
from typing_extensions import Self

from harness.process import Process, free_port
from harness.waiting import wait_until

_START_S = 30.0


class Postgres:
    """A running server with one empty database."""

    def __init__(self, folder: Path, *, logs: Path) -> None:
        """Starts it; skips the test where none is installed, which CI doesn't allow."""
        self._programs = _programs()
        self._port = free_port()
        data, user = folder / "data", _user()
        folder.mkdir(parents=True)
        if user is not None:
            # It refuses to run as root, and needs to reach its folder.
            os.chown(folder, user.pw_uid, user.pw_gid)
            for parent in folder.parents:
                if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        init = [self._programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run([*_as(user), *init], check=True, capture_output=True, cwd=folder)
        server = [self._programs / "postgres", "-D", data, "-h", "127.0.0.1", "-k", folder]
        command = [*_as(user), *server, "-p", str(self._port), "-c", "fsync=off"]
        self._process = Process("postgres", command, logs=logs, cwd=folder)
        wait_until(self._ready, timeout=_START_S, what="Postgres takes connections")

    @property
    def url(self) -> str:
        """As a manifest names it."""
        return f"postgres://postgres@127.0.0.1:{self._port}/postgres"

    def stop(self) -> None:
        """Ends it, whoever is connected."""
        self._process.signal(signal.SIGINT)
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _ready(self) -> bool:
        asked = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return self._process.alive and subprocess.run(asked, check=False).returncode == 0


def _programs() -> Path:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if installed:
        return installed[0].parent
    found = shutil.which("initdb")
    if found is None:
        why = "no initdb in /usr/lib/postgresql/*/bin or PATH"
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a Postgres: {why}")
        pytest.skip(why)
    return Path(found).parent


def _user() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as(user: pwd.struct_passwd | None) -> list[str]:
    if user is None:
        return []
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # A change of user unties the process from its parent: it is tied again.
    return ["setpriv", *ids, "--pdeathsig=QUIT"]
