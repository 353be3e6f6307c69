"""Runs the cases of the corpus against a channel, whichever arm is behind it.

Needs nothing but the generated messages of `gazetteer.v1` and grpcio.
"""

import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from gazetteer.v1 import gazetteer_pb2
from google.protobuf import any_pb2, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

TIMEOUT_S = 30.0
"""Seconds that a case may take."""

FLOAT_TOLERANCE = 1e-9
"""How far two floats may be apart, relative to the larger."""

MAX_DISAGREEMENTS = 20
"""Disagreements that are told of one case."""

_SERVICE = gazetteer_pb2.DESCRIPTOR.services_by_name["GazetteerService"]
_IGNORED = "gazetteer.v1.SearchPlacesResponse.search_id"
_SEARCH_ID = re.compile(r"[0-9a-f]{32}")
_COUNT = {False: "unary", True: "stream"}
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)

# Details can only be decoded if their types are known; this is what makes them so.
_KNOWN_DETAILS = (error_details_pb2.BadRequest, error_details_pb2.ResourceInfo)

Case = dict[str, Any]


def _file_stem(method: MethodDescriptor) -> str:
    return re.sub(r"(?<=.)([A-Z])", r"_\1", method.name).lower()


METHODS: dict[str, MethodDescriptor] = {_file_stem(m): m for m in _SERVICE.methods}
"""The methods by the name of their file, in the order to run them in: writes come last."""


@dataclass(frozen=True)
class Answer:
    """What an arm answered to one case."""

    code: str
    message: str
    details: list[Message]
    responses: list[Message]


def load_cases(method: str) -> list[Case]:
    """Reads the cases of a method, named as in `METHODS`."""
    text = Path(__file__).with_name(f"{method}.jsonl").read_text("utf-8")
    # Not splitlines: it would also split at the line separators inside of texts.
    return [json.loads(line) | {"method": method} for line in text.split("\n") if line]


def run_case(channel: grpc.Channel, case: Case) -> list[str]:
    """Runs a case.

    Args:
        channel: A channel to the arm.
        case: A case out of `load_cases`.

    Returns:
        The disagreements, none if the arm agrees.
    """
    expected = case["expect"]
    answer = ask(channel, case)
    found: list[str] = []
    _differ(found, "code", expected["code"], answer.code)
    _differ(found, "message", expected["message"], answer.message)
    _compare_lists(found, "details", [unpack_json(d) for d in expected["details"]], answer.details)
    make = message_factory.GetMessageClass(METHODS[case["method"]].output_type)
    wanted = [json_format.ParseDict(r, make()) for r in expected["responses"]]
    responses = answer.responses
    if "responses_count" in expected:
        _differ(found, "responses_count", expected["responses_count"], len(responses))
        responses = [*responses[:1], *responses[-1:]]
    _compare_lists(found, "responses", wanted, responses)
    for response in answer.responses:
        search_id = getattr(response, "search_id", None)
        if search_id is not None and not _SEARCH_ID.fullmatch(search_id):
            found.append(f"search_id: {search_id!r} is not 32 lower-case hexadecimal digits")
    return found[:MAX_DISAGREEMENTS]


def ask(channel: grpc.Channel, case: Case) -> Answer:
    """Sends the requests of a case, and gives all that comes back."""
    method = METHODS[case["method"]]
    finished = threading.Event()
    responses: list[Message] = []
    try:
        for response in _call(channel, method, case, finished):
            responses.append(response)
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call):
            raise
        rich = rpc_status.from_call(error)
        details = [] if rich is None else [_unpack(detail) for detail in rich.details]
        return Answer(error.code().name, error.details() or "", details, responses)
    finally:
        finished.set()
    return Answer("OK", "", [], responses)


def request_bytes(case: Case) -> list[bytes]:
    """Gives the encoded requests of a case."""
    if "raw_hex" in case:
        return [bytes.fromhex(encoded) for encoded in case["raw_hex"]]
    make = message_factory.GetMessageClass(METHODS[case["method"]].input_type)
    return [json_format.ParseDict(r, make()).SerializeToString() for r in case["requests"]]


def unpack_json(detail: Case) -> Message:
    """Gives the message inside an `Any` in proto-JSON."""
    return _unpack(json_format.ParseDict(detail, any_pb2.Any()))


def _call(
    channel: grpc.Channel, method: MethodDescriptor, case: Case, finished: threading.Event
) -> Iterator[Message]:
    path = f"/{_SERVICE.full_name}/{method.name}"
    decode = message_factory.GetMessageClass(method.output_type).FromString
    encoded = request_bytes(case)

    def stream() -> Iterator[bytes]:
        yield from encoded
        if not case.get("half_close", True):
            finished.wait(TIMEOUT_S)

    kind = f"{_COUNT[method.client_streaming]}_{_COUNT[method.server_streaming]}"
    connect: Callable[..., Callable[..., Any]] = getattr(channel, kind)
    call = connect(path, request_serializer=bytes, response_deserializer=decode)
    answered = call(stream() if method.client_streaming else encoded[0], timeout=TIMEOUT_S)
    if method.server_streaming:
        yield from answered
    else:
        yield answered


def _unpack(detail: any_pb2.Any) -> Message:
    for known in _KNOWN_DETAILS:
        if detail.Is(known.DESCRIPTOR):
            message: Message = known()
            detail.Unpack(message)
            return message
    return detail


def _compare_lists(
    found: list[str], path: str, wanted: Sequence[Message], got: Sequence[Message]
) -> None:
    _differ(found, f"number of {path}", len(wanted), len(got))
    for index, (one, other) in enumerate(zip(wanted, got, strict=False)):
        _compare_messages(found, f"{path}[{index}]", one, other)


def _compare_messages(found: list[str], path: str, wanted: Message, got: Message) -> None:
    if wanted.DESCRIPTOR.full_name != got.DESCRIPTOR.full_name:
        _differ(found, f"type of {path}", wanted.DESCRIPTOR.full_name, got.DESCRIPTOR.full_name)
        return
    for field in wanted.DESCRIPTOR.fields:
        if field.full_name == _IGNORED:
            continue
        here = f"{path}.{field.name}"
        one, other = getattr(wanted, field.name), getattr(got, field.name)
        if field.has_presence and wanted.HasField(field.name) != got.HasField(field.name):
            _differ(found, f"presence of {here}", wanted.HasField(field.name), None)
        elif field.message_type is not None:
            if field.is_repeated:
                _compare_lists(found, here, one, other)
            elif not field.has_presence or wanted.HasField(field.name):
                _compare_messages(found, here, one, other)
        elif field.is_repeated:
            _differ(found, here, list(one), list(other))
        elif field.cpp_type in _FLOATS:
            if not (math.isclose(one, other, rel_tol=FLOAT_TOLERANCE) or one != one != other):
                _differ(found, here, one, other)
        else:
            _differ(found, here, one, other)


def _differ(found: list[str], path: str, wanted: object, got: object) -> None:
    if wanted != got:
        found.append(f"{path}: expected {wanted!r}, got {got!r}")
