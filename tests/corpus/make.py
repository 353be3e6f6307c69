"""Writes the corpus: asks the Python arm each case, and checks what people wrote of the answer.

    python tests/corpus/make.py

needs `gazetteer-load` and `gazetteer-server` beside the interpreter. It ends with code 1, and
writes nothing, if an answer is not what its case says that it must be.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
from cases.case import Case, Json
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from runner import METHODS, ask, unpack_json

_HERE = Path(__file__).parent
_PROGRAMS = Path(sys.executable).parent


def main() -> int:
    """Writes all files or none."""
    files: dict[str, list[Json]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder, _arm(Path(folder) / "g.db") as channel:
        for method in METHODS:
            cases: list[Case] = import_module(f"cases.{method}").CASES
            names = [case.name for case in cases]
            wrong += [f"{method}: two cases are named {n!r}" for n in names if names.count(n) > 1]
            for case in cases:
                line = _line(case)
                line["expect"] = _recorded(channel, method, case, line)
                wrong += [f"{method}: {case.name}: {w}" for w in _disagreements(case, line)]
                files.setdefault(method, []).append(line)
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    if wrong:
        return 1
    for method, lines in files.items():
        written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (_HERE / f"{method}.jsonl").write_text(written, "utf-8")
        print(f"{method}: {len(lines)} cases, {len(written.encode())} bytes", file=sys.stderr)
    return 0


@contextmanager
def _arm(database: Path) -> Iterator[grpc.Channel]:
    subprocess.run([_PROGRAMS / "gazetteer-load", "--database", database], check=True)
    server = subprocess.Popen(
        [_PROGRAMS / "gazetteer-server", "--listen", "127.0.0.1:0", "--database", database],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("listening on ").strip()
        with grpc.insecure_channel(address) as channel:
            yield channel
    finally:
        server.terminate()
        server.wait()


def _line(case: Case) -> Json:
    line: Json = {"name": case.name}
    encoded = [request for request in case.requests if isinstance(request, bytes)]
    if encoded:
        line["raw_hex"] = [request.hex() for request in encoded]
    else:
        line["requests"] = list(case.requests)
    if not case.half_close:
        line["half_close"] = False
    return line


def _recorded(channel: grpc.Channel, method: str, case: Case, line: Json) -> Json:
    answer = ask(channel, line | {"method": method})
    responses = [_json(response) for response in answer.responses]
    for response in responses:
        response.pop("search_id", None)
    expect: Json = {"code": answer.code, "message": answer.message}
    expect["details"] = [_packed_json(detail) for detail in answer.details]
    if case.brief:
        expect["responses_count"] = len(responses)
        responses = [*responses[:1], *responses[-1:]]
    expect["responses"] = responses
    return expect


def _disagreements(case: Case, line: Json) -> Iterator[str]:
    expect = line["expect"]
    wanted: Json = case.expect or {"code": "OK", "message": "", "details": []}
    for key in ("code", "message"):
        if wanted[key] != expect[key]:
            yield f"{key}: expected {wanted[key]!r}, got {expect[key]!r}"
    one, other = (sorted(map(_text, side["details"])) for side in (wanted, expect))
    if one != other:
        yield f"details: expected {one}, got {other}"
    if case.rule is not None and not case.rule(expect["responses"]):
        yield f"its rule does not hold of {str(expect['responses'])[:2000]}"


def _text(detail: Json) -> str:
    return str(unpack_json(detail))


def _json(message: Message) -> Json:
    made: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return made


def _packed_json(detail: Message) -> Json:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return _json(packed)


if __name__ == "__main__":
    sys.exit(main())
