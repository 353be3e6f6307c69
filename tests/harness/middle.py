"""Programs of others on the way of a call: HAProxy and nginx, and what else must be installed."""

import os
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pytest
from typing_extensions import Self

from harness.process import Process, free_port
from harness.waiting import wait_until

_HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend calls
    bind {listen} proto h2
    default_backend next
backend next
    server next {upstream} proto h2
"""

_NGINX = """\
daemon off;
error_log stderr warn;
pid {folder}/nginx.pid;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    http2_max_concurrent_streams 1000;
    upstream next {{ server {upstream}; keepalive 4; }}
    server {{
        listen {listen} http2;
        location / {{
            grpc_pass grpc://next;
            grpc_read_timeout 60s;
            grpc_send_timeout 60s;
        }}
    }}
}}
"""


def program(name: str) -> str:
    """Where a program of the system is. Without it the test is skipped, but in CI it fails."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        missing = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class Middle:
    """A running HAProxy or nginx that passes HTTP/2 in clear text on to `upstream`."""

    def __init__(self, name: str, upstream: str, *, scratch: Path, logs: Path) -> None:
        """Starts it and waits until it takes connections."""
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        folder = scratch / f"{name}-{port}"
        folder.mkdir()
        template = {"haproxy": _HAPROXY, "nginx": _NGINX}[name]
        text = template.format(listen=self.address, upstream=upstream, folder=folder)
        path = folder / "config"
        path.write_text(text, "utf-8")
        flags = {"haproxy": ["-db", "-f", path], "nginx": ["-p", folder, "-c", path]}[name]
        self._stack = ExitStack()
        self.process = self._stack.enter_context(
            Process(f"{name}-{port}", [program(name), *flags], logs=logs)
        )
        try:
            wait_until(self._answers, what=f"{name} listens")
        except BaseException:
            self._stack.close()
            raise

    @property
    def url(self) -> str:
        """As a manifest names it."""
        return f"http://{self.address}"

    def _answers(self) -> bool:
        assert self.process.alive, self.process.tail()
        host, _, port = self.address.partition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
