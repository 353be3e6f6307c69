"""What each peer is told: the settings at which it is fastest as a gRPC proxy in clear text."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from harness import manifest, rule
from harness.manifest import write

STREAMS = 1000
"""Streams that a connection may have at once, for every peer."""
SERVICE = "bench.v1.Echo"
RULES = 50
"""Rules of ours, unless a curve over their number is drawn."""
HELD_S = 600
"""No peer may end a call before this: streams are held open for long."""

# With its own 10,000 frames it resets calls that stream small messages.
_ENVOY_HTTP2 = {"max_concurrent_streams": STREAMS, "max_outbound_frames": 1_000_000}


def path(index: int) -> str:
    """The path of a method, by its number."""
    return f"/{SERVICE}/Method{index:02}"


def cutover(scratch: Path, backend: str, rules: int, methods: int) -> Path:
    """Our manifest: so many rules, each with a weight of 50, and a sticky key.

    Descriptors name so many methods, and at least those that have rules.
    """
    # Methods without a rule of their own share the last one.
    own = [rule(SERVICE, f"Method{index:02}", weight=50) for index in range(rules - 1)]
    url = f"http://{backend}"
    descriptors = _descriptors(scratch, max(methods, rules))
    content = manifest(url, url, rules=[*own, rule(weight=50)], descriptors=descriptors)
    return write(scratch / f"cutover-{rules}-{methods}.yaml", content)


def _descriptors(scratch: Path, methods: int) -> Path:
    """Methods that descriptors name are counted by name, others together."""
    file = descriptor_pb2.FileDescriptorProto(
        name="bench.proto", package="bench.v1", syntax="proto3"
    )
    file.message_type.add(name="Message")
    echo = file.service.add(name=SERVICE.rpartition(".")[2])
    for index in range(methods):
        echo.method.add(
            name=f"Method{index:02}",
            input_type=".bench.v1.Message",
            output_type=".bench.v1.Message",
            client_streaming=True,
            server_streaming=True,
        )
    target = scratch / f"bench-{methods}.binpb"
    target.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    return target


def haproxy(scratch: Path, backend: str, port: int, *, http2: bool) -> Path:
    """One thread; HTTP/2 on both sides with connections reused, or bytes alone."""
    words, mode = (" proto h2", "http") if http2 else ("", "tcp")
    reuse = "http-reuse always" if http2 else ""
    target = scratch / f"haproxy-{mode}.cfg"
    target.write_text(
        f"""\
global
  nbthread 1
  maxconn {_descriptors_allowed() // 2 - 100}
  tune.h2.max-concurrent-streams {STREAMS}
  # With its own 16 kB it resets calls of about that size.
  tune.bufsize 32768
defaults
  mode {mode}
  timeout connect 5s
  timeout client {HELD_S}s
  timeout server {HELD_S}s
  {reuse}
frontend callers
  bind 127.0.0.1:{port}{words}
  default_backend arms
backend arms
  server arm {backend}{words}
"""
    )
    return target


def nginx(scratch: Path, backend: str, port: int, *, master: bool) -> Path:
    """One worker, upstream connections kept."""
    user = "user root;" if os.geteuid() == 0 else ""
    target = scratch / "nginx.conf"
    target.write_text(
        f"""\
{user}
daemon off;
master_process {"on" if master else "off"};
worker_processes 1;
worker_rlimit_nofile {_descriptors_allowed()};
pid {scratch}/nginx.pid;
events {{ worker_connections {_descriptors_allowed() - 100}; }}
http {{
  access_log off;
  client_body_temp_path {scratch}/nginx-body;
  proxy_temp_path {scratch}/nginx-proxy;
  fastcgi_temp_path {scratch}/nginx-fastcgi;
  uwsgi_temp_path {scratch}/nginx-uwsgi;
  scgi_temp_path {scratch}/nginx-scgi;
  upstream arms {{
    server {backend};
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout {HELD_S}s;
  }}
  server {{
    listen 127.0.0.1:{port} http2;
    http2_max_concurrent_streams {STREAMS};
    keepalive_requests 1000000000;
    keepalive_timeout {HELD_S}s;
    client_max_body_size 0;
    client_body_timeout {HELD_S}s;
    send_timeout {HELD_S}s;
    grpc_read_timeout {HELD_S}s;
    grpc_send_timeout {HELD_S}s;
    grpc_socket_keepalive on;
    location / {{ grpc_pass grpc://arms; }}
  }}
}}
"""
    )
    return target


def envoy(scratch: Path, backend: str, port: int, *, weighted: bool) -> Path:
    """HTTP/2 without what a call does not need; two clusters at 50/50 or one."""
    names = ["legacy", "candidate"] if weighted else ["arm"]
    shares = [{"name": name, "weight": 50} for name in names]
    route: dict[str, Any] = {"weighted_clusters": {"clusters": shares}}
    if not weighted:
        route = {"cluster": "arm"}
    most = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    types = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "callers",
        "codec_type": "HTTP2",
        "generate_request_id": False,
        "stream_idle_timeout": "0s",
        "http2_protocol_options": _ENVOY_HTTP2,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{types}.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {**route, "timeout": "0s"}}],
                }
            ]
        },
    }
    listener = {
        "address": _address(f"127.0.0.1:{port}"),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    options = {
        "@type": f"{types}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": _ENVOY_HTTP2},
    }
    clusters = [
        {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [most]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
            },
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": _address(backend)}}]},
                ],
            },
        }
        for name in names
    ]
    content = {"static_resources": {"listeners": [listener], "clusters": clusters}}
    target = scratch / f"envoy-{len(names)}.json"
    target.write_text(json.dumps(content, indent=1))
    return target


def _address(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _descriptors_allowed() -> int:
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 100_000)
