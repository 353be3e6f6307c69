#!/usr/bin/env python3
"""Records real spans: what real programs export of mirrored calls, one file for each pair of arms.

Two arms stand behind `cutover up`, every call is mirrored, and all three export to a receiver here.
What it gets is written as it came, one `ExportTraceServiceRequest` in OTLP's JSON a line. Virtual
environments with older and newer instrumentations, and a program in Go, are made on the way.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Its servers here would hear nothing more once a process is started.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import grpc
from google.protobuf import wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gazetteer.v1 import gazetteer_pb2 as gazetteer_pb  # noqa: E402
from harness import ROOT, Process, binary, manifest, rule, wait_until  # noqa: E402
from harness.arms import telemetry  # noqa: E402
from harness.manifest import write  # noqa: E402
from harness.paths import copy_database, make_database  # noqa: E402

RECORDED = HERE / "recorded"
PYTHON_ARM = "import sys; from gazetteer_server.main import main; sys.exit(main())"
GAZETTEER = "/gazetteer.v1.GazetteerService/"
SHOP = "/spans.v1.Shop/"
# Of five names: reading them one by one is a loop, and a short one.
PLACE = 24851
CALL_S = 30
IN_FORCE = "route table in force generation=1"
# Ids are written as hexadecimal digits in OTLP's JSON, not as protobuf's base64.
IDS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True)
class Call:
    """A call through the proxy: its path and its request, encoded."""

    path: str
    request: bytes


@dataclass
class Receiver(trace_grpc.TraceServiceServicer, metrics_grpc.MetricsServiceServicer):
    """Takes exports; keeps the spans'."""

    exports: list[trace_pb.ExportTraceServiceRequest] = field(default_factory=list)

    def Export(self, request: Message, context: grpc.ServicerContext) -> Message:  # noqa: N802
        """Of either service."""
        if isinstance(request, trace_pb.ExportTraceServiceRequest):
            self.exports.append(request)
            return trace_pb.ExportTraceServiceResponse()
        return metrics_pb.ExportMetricsServiceResponse()

    def copies(self) -> int:
        """How many copies of calls have ended."""
        exports = self.exports.copy()
        shadow = KeyValue(key="cutover.role", value=AnyValue(string_value="shadow"))
        return sum(shadow in span.attributes for export in exports for span in _spans(export))

    def lines(self) -> Iterator[str]:
        """The exports as OTLP's JSON, those of the spans that began first first."""
        for export in sorted(self.exports, key=_began):
            read = MessageToDict(export, use_integers_for_enums=True)
            line = json.dumps(_with_hex_ids(read), ensure_ascii=False, separators=(",", ":"))
            # Traces of errors name files: where this checkout lies is nobody's business.
            yield line.replace(sys.prefix, "/venv")


def _spans(export: trace_pb.ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in export.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def _began(export: trace_pb.ExportTraceServiceRequest) -> int:
    return min(span.start_time_unix_nano for span in _spans(export))


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hex_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(one).hex() if key in IDS else _with_hex_ids(one)
        for key, one in value.items()
    }


class Prices(BaseHTTPRequestHandler):
    """What the shop asks over HTTP."""

    def do_GET(self) -> None:
        """A rate, or nothing."""
        self._answer(200 if self.path.startswith("/rates/") else 404)

    def do_POST(self) -> None:
        """Takes anything."""
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(201)

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _answer(self, code: int) -> None:
        self.send_response(code)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"42")


class Stock(grpc.GenericRpcHandler):
    """What the shop asks over gRPC: `Take` is answered, anything else is not found."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """The handler of a method."""
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: (
                request
                if details.method.endswith("/Take")
                else context.abort(grpc.StatusCode.NOT_FOUND, "nothing to audit")
            )
        )


@dataclass(frozen=True)
class World:
    """What all recordings share."""

    scratch: Path
    stock: str
    prices: str

    def python(self, age: str, conventions: str = "") -> Callable[[str, str], Process]:
        """The shop in Python, with the instrumentations of an age and these conventions."""
        home = self.scratch / age
        if not home.exists():
            print(f"installing {age} instrumentations", flush=True)
            venv.create(home, with_pip=True)
            required = HERE / f"requirements-{age}.txt"
            quiet = ["--quiet", "--disable-pip-version-check"]
            subprocess.run([home / "bin/pip", "install", *quiet, "-r", required], check=True)
        # A copy, so that the paths in traces of errors are nobody's.
        program = shutil.copy(HERE / "shop.py", home)
        return self._shop([home / "bin/python", program], conventions)

    def go(self, conventions: str = "") -> Callable[[str, str], Process]:
        """The shop in Go, with these conventions."""
        program = self.scratch / "shop"
        if not program.exists():
            found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
            if found is None:
                sys.exit("the shop in Go needs Go 1.26: install it, or leave its recordings out")
            subprocess.run(
                [found, "build", "-trimpath", "-o", program], cwd=HERE / "go", check=True
            )
        return self._shop([program], conventions)

    def gazetteer(self, program: Sequence[str | Path]) -> Callable[[str, str], Process]:
        """An arm of the gazetteer, with visits of its own."""

        def start(arm: str, otlp: str) -> Process:
            home = Path(tempfile.mkdtemp(dir=self.scratch))
            database = copy_database(make_database(self.scratch), home / "gazetteer.db")
            command = [*program, "--listen", "127.0.0.1:0", "--database", database]
            for room in ("python_client", "python_server"):
                shutil.copytree(ROOT / room / "src", home, dirs_exist_ok=True)
            env = {**telemetry(arm, otlp), "PYTHONPATH": str(home)}
            return Process(arm, command, logs=home, env=env)

        return start

    def _shop(
        self, command: Sequence[str | Path], conventions: str
    ) -> Callable[[str, str], Process]:
        def start(arm: str, otlp: str) -> Process:
            env: Mapping[str, str] = {
                **telemetry(arm, otlp),
                "OTEL_SERVICE_NAME": "shop",
                "OTEL_SEMCONV_STABILITY_OPT_IN": conventions,
            }
            asks = ["--stock", self.stock, "--prices", self.prices]
            return Process(arm, [*command, *asks], logs=self.scratch / "logs", env=env)

        return start


def recordings(world: World) -> dict[str, Callable[[], list[str]]]:
    """Each recording by name: two arms and the calls that they get."""
    place = gazetteer_pb.GetPlaceRequest(id=PLACE).SerializeToString()
    visit = gazetteer_pb.RecordVisitRequest(place_id=PLACE, visitor="ada").SerializeToString()
    nowhere = gazetteer_pb.GetPlaceRequest(id=1).SerializeToString()
    reads_and_writes = [
        Call(GAZETTEER + "GetPlace", place),
        Call(GAZETTEER + "GetPlace", nowhere),
        Call(GAZETTEER + "RecordVisit", visit),
    ]
    broken = ("--hazard", "names-one-by-one", "--hazard", "double-write")
    good = StringValue(value="1").SerializeToString()
    outbound = [Call(SHOP + "Quote", good), Call(SHOP + "Reserve", good)]
    sales = [*outbound, Call(SHOP + "Sell", good)]

    def gazetteer(candidate: str, *extra: str) -> list[str]:
        arms = (
            world.gazetteer([sys.executable, "-c", PYTHON_ARM]),
            world.gazetteer([binary(candidate), *extra]),
        )
        return record(world, *arms, reads_and_writes)

    return {
        "gazetteer": lambda: gazetteer("gazetteer-server"),
        "gazetteer-broken": lambda: gazetteer("gazetteer-broken", *broken),
        "python-old-new": lambda: record(
            world, world.python("old"), world.python("new", "http,database"), sales
        ),
        "python-now-both": lambda: record(
            world, world.python("new"), world.python("new", "http/dup,database/dup"), sales
        ),
        "python-go": lambda: record(world, world.python("new"), world.go(), outbound),
        "go-old-both": lambda: record(world, world.go("rpc/old"), world.go("rpc/dup"), outbound),
    }


def record(
    world: World,
    legacy: Callable[[str, str], Process],
    candidate: Callable[[str, str], Process],
    calls: Sequence[Call],
) -> list[str]:
    """Sends the calls through a proxy before two arms; gives what all three exported."""
    receiver = Receiver()
    with ExitStack() as stack:
        otlp = stack.enter_context(_served(receiver))
        arms = [
            stack.enter_context(start(arm, otlp))
            for arm, start in (("legacy", legacy), ("candidate", candidate))
        ]
        urls = [f"http://{arm.wait_for_line(r'^listening on (.+)$')[1]}" for arm in arms]
        mirror = {"percent": 100, "acceptSideEffects": True}
        paths = sorted({call.path for call in calls})
        rules = [rule(*path.split("/")[1:], mirror=mirror) for path in paths]
        home = Path(tempfile.mkdtemp(dir=world.scratch))
        described = _describe(home / "shop.binpb") if SHOP in paths[0] else None
        content = manifest(*urls, rules=rules, descriptors=described)
        file = write(home / "cutover.yaml", content)
        command = [binary("cutover"), "up", "-f", file, "--store", home / "cutover.db"]
        up = Process("cutover", [*command, "--otlp", f"http://{otlp}"], logs=home)
        stack.enter_context(up)
        address = up.wait_for_line(r"^proxy listening on (\S+)$")[1]
        wait_until(lambda: IN_FORCE in up.stderr.read_text(), what="the table that mirrors")
        with grpc.insecure_channel(address) as channel:
            for call in calls:
                with suppress(grpc.RpcError):
                    channel.unary_unary(call.path)(call.request, timeout=CALL_S)
        # What the arms still have they send at their end; a copy must have come to them by then.
        wait_until(lambda: receiver.copies() == len(calls), what="a copy of each call")
    return list(receiver.lines())


def _describe(file: Path) -> Path:
    """The shop serves no reflection."""
    shop = FileDescriptorProto(name="spans/v1/shop.proto", package="spans.v1", syntax="proto3")
    wrappers = FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    shop.dependency.append(wrappers.name)
    service = shop.service.add(name="Shop")
    value = f".{StringValue.DESCRIPTOR.full_name}"
    for method in ("Sell", "Quote", "Reserve"):
        service.method.add(name=method, input_type=value, output_type=value)
    file.write_bytes(FileDescriptorSet(file=[wrappers, shop]).SerializeToString())
    return file


@contextmanager
def _served(receiver: Receiver) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    trace_grpc.add_TraceServiceServicer_to_server(receiver, server)
    metrics_grpc.add_MetricsServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(1).wait()


@contextmanager
def _world(scratch: Path) -> Iterator[World]:
    prices = ThreadingHTTPServer(("127.0.0.1", 0), Prices)
    threading.Thread(target=prices.serve_forever, daemon=True).start()
    stock = grpc.server(ThreadPoolExecutor(2), handlers=[Stock()])
    port = stock.add_insecure_port("127.0.0.1:0")
    stock.start()
    yield World(scratch, f"127.0.0.1:{port}", f"http://127.0.0.1:{prices.server_port}")
    stock.stop(1).wait()
    prices.shutdown()


def main() -> None:
    """Records what is asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="a recording; default all")
    parser.add_argument("--out", type=Path, default=RECORDED, metavar="DIR")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spans-") as scratch, _world(Path(scratch)) as world:
        known = recordings(world)
        if unknown := set(arguments.name) - set(known):
            sys.exit(f"no such recording: {', '.join(unknown)}; there are {', '.join(known)}")
        for name in arguments.name or known:
            lines = known[name]()
            file = arguments.out / f"{name}.jsonl"
            file.write_text("\n".join(lines) + "\n", "utf-8")
            print(f"{name}: {len(lines)} exports, {file.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
