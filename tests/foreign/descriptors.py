"""What a user of the foreign service would have: its descriptors, in a file.

Only methods that the descriptors have can be mirrored. `Echo` and `Count` say that they have no
side effects, `Fail` says nothing.
"""

from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

from foreign.service import COUNT, ECHO, FAIL, SERVICE

_BLOB = "Blob"


def write_descriptors(path: Path) -> Path:
    """Writes an encoded `FileDescriptorSet`."""
    package, _, name = SERVICE.rpartition(".")
    message = f".{package}.{_BLOB}"
    harmless = MethodOptions(idempotency_level=MethodOptions.NO_SIDE_EFFECTS)
    methods = [
        MethodDescriptorProto(
            name=full.rpartition("/")[2],
            input_type=message,
            output_type=message,
            server_streaming=full == COUNT,
            options=options,
        )
        for full, options in ((ECHO, harmless), (COUNT, harmless), (FAIL, None))
    ]
    file = FileDescriptorProto(
        name="foreign/v1/foreign.proto",
        package=package,
        syntax="proto3",
        message_type=[DescriptorProto(name=_BLOB)],
        service=[ServiceDescriptorProto(name=name, method=methods)],
    )
    path.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    return path
