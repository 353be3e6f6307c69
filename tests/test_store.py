"""What is kept, and what happens to routing when it can't be."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
from cutover.v1 import operator_pb2 as pb
from foreign.backend import Backend
from foreign.descriptors import write_descriptors
from foreign.service import ECHO, SERVICE
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FieldOptions,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)
from harness import CutoverUp, manifest, rule, run_load, wait_until

PEOPLE = "people.v1.People"
FIELDS = ("plain", "marked", "listed")
SHOWN, HIDDEN = f"/{PEOPLE}/Shown", f"/{PEOPLE}/Hidden"


def test_a_full_disk_stops_the_store_and_not_the_calls(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(
        foreign_legacy.url,
        foreign_candidate.url,
        rules=[rule(SERVICE, "Echo", weight=0, mirror={"percent": 100})],
        descriptors=write_descriptors(tmp_path / "foreign.bin"),
    )
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.operator() as operator:

        def store() -> pb.StoreStatus:
            return operator.status().store

        def calls() -> None:
            load = run_load(up.url, path=ECHO, calls=500, duration=60, concurrency=4)
            assert load.by_status == {"OK": 500}

        calls()
        assert not store().error
        files = [tmp_path / "cutover.db", tmp_path / "cutover.db-wal"]
        largest = max(file.stat().st_size for file in files)
        # What Python ignores, its children do too: the write fails, and no signal ends anything.
        resource.prlimit(up.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        wait_until(lambda: store().error != "", what="the store says that it can't write")
        assert store().unavailable_since_unix_ms > 0
        calls()
        resource.prlimit(
            up.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        wait_until(lambda: store().error == "", what="the store is available again")
        compared = sum(method.pairs.compared for method in operator.status().methods)
        assert compared > 500
    with CutoverUp(tmp_path / "cutover.yaml", scratch=tmp_path, logs=logs) as again:
        with again.operator() as operator:
            kept = sum(method.pairs.compared for method in operator.status().methods)
        assert kept >= compared, "what was counted meanwhile is saved"


def test_a_damaged_store_is_put_aside_and_calls_go_to_the_legacy(
    foreign_legacy: Backend, foreign_candidate: Backend, tmp_path: Path, logs: Path
) -> None:
    content = manifest(foreign_legacy.url, foreign_candidate.url, ramp={"steps": [{"weight": 100}]})
    with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.operator() as operator:
        operator.set_weight(100, why="all of it")
    file = tmp_path / "cutover.db"
    damaged = file.read_bytes()
    file.write_bytes(damaged[: len(damaged) // 3])
    before = len(foreign_candidate.ledger(ECHO))
    with CutoverUp(tmp_path / "cutover.yaml", scratch=tmp_path, logs=logs) as again:
        load = run_load(again.url, path=ECHO, calls=200, duration=60, concurrency=4)
        assert load.by_status == {"OK": 200}
        with again.operator() as operator:
            last = operator.decisions()[0]
        assert (last.action, "put aside" in last.why) == ("quarantine", True)
    assert len(foreign_candidate.ledger(ECHO)) == before
    aside = list(tmp_path.glob("cutover.db.corrupt-*"))
    assert len(aside) == 1
    assert aside[0].stat().st_size == len(damaged) // 3


def test_no_value_of_a_redacted_field_is_in_the_stores_bytes(tmp_path: Path, logs: Path) -> None:
    descriptors = _write_people(tmp_path / "people.bin")
    mirrored = {"percent": 100}
    with people("legacy") as legacy, people("candidate") as candidate:
        content = manifest(
            legacy,
            candidate,
            rules=[
                rule(
                    PEOPLE,
                    "Shown",
                    weight=0,
                    mirror=mirrored,
                    compare={"captureValues": True, "redact": ["listed"]},
                ),
                rule(PEOPLE, "Hidden", weight=0, mirror=mirrored),
            ],
            descriptors=descriptors,
        )
        with CutoverUp(content, scratch=tmp_path, logs=logs) as up, up.operator() as operator:

            def sampled() -> set[str]:
                with up.channel() as channel:
                    for method in (SHOWN, HIDDEN):
                        channel.unary_unary(method)(b"", timeout=10)
                return {sample.method for sample in operator.differences()}

            wait_until(lambda: sampled() == {SHOWN, HIDDEN}, what="both methods have samples")
            samples = operator.differences()
        for sample in samples:
            shown = {d.path: d.legacy for d in sample.differences}
            assert set(shown) == set(FIELDS)
            hashed = {path for path, value in shown.items() if value.startswith("#")}
            assert hashed == ({"marked", "listed"} if sample.method == SHOWN else set(FIELDS))
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("cutover.db*"))
    assert _value("Shown", "legacy", "plain").encode() in stored, "captured, as it may be"
    for arm in ("legacy", "candidate"):
        for method, field in (
            ("Shown", "marked"),
            ("Shown", "listed"),
            *(("Hidden", field) for field in FIELDS),
        ):
            assert _value(method, arm, field).encode() not in stored, (method, arm, field)


def _value(method: str, arm: str, field: str) -> str:
    return f"value-of-{method}-{arm}-{field}"


@contextmanager
def people(arm: str) -> Iterator[str]:
    """A service whose every field is another one in each arm; its URL."""

    def answer(method: str) -> bytes:
        fields = enumerate((_value(method, arm, field).encode() for field in FIELDS), 1)
        return b"".join(bytes([number << 3 | 2, len(text)]) + text for number, text in fields)

    class People(grpc.GenericRpcHandler):
        def service(
            self, handler_call_details: grpc.HandlerCallDetails
        ) -> grpc.RpcMethodHandler[bytes, bytes]:
            method = handler_call_details.method.rpartition("/")[2]
            return grpc.unary_unary_rpc_method_handler(lambda _, __: answer(method))

    with ExitStack() as stack:
        server = grpc.server(stack.enter_context(ThreadPoolExecutor(4)), handlers=[People()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(lambda: server.stop(None).wait())
        yield f"http://127.0.0.1:{port}"


def _write_people(path: Path) -> Path:
    package, _, name = PEOPLE.rpartition(".")
    message = f".{package}.Person"
    fields = [
        FieldDescriptorProto(
            name=field,
            number=number,
            type=FieldDescriptorProto.TYPE_STRING,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
            options=FieldOptions(debug_redact=True) if field == "marked" else None,
        )
        for number, field in enumerate(FIELDS, 1)
    ]
    methods = [
        MethodDescriptorProto(
            name=full.rpartition("/")[2],
            input_type=message,
            output_type=message,
            options=MethodOptions(idempotency_level=MethodOptions.NO_SIDE_EFFECTS),
        )
        for full in (SHOWN, HIDDEN)
    ]
    file = FileDescriptorProto(
        name="people/v1/people.proto",
        package=package,
        syntax="proto3",
        message_type=[DescriptorProto(name="Person", field=fields)],
        service=[ServiceDescriptorProto(name=name, method=methods)],
    )
    path.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    return path
