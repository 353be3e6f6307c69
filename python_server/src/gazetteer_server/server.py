"""The gRPC server: its layers, its limits, its health and its end."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from gazetteer.v1 import gazetteer_pb2_grpc as pb_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gazetteer_server.boundary import ErrorBoundary
from gazetteer_server.config import Config
from gazetteer_server.service import SERVICE, GazetteerService
from gazetteer_server.telemetry import Telemetry

_LEAST_PING_INTERVAL_MS = 5_000
"""Clients that ping an idle connection more often are disconnected by grpcio."""

_HEALTH_WORKERS = 2

_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


class CannotListenError(Exception):
    """The address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that takes calls."""

    server: grpc.Server
    health: health.HealthServicer
    port: int

    def drain(self, grace_s: float) -> None:
        """Says NOT_SERVING, takes no new call, and ends when all calls have or the grace has."""
        self.health.enter_graceful_shutdown()
        self.server.stop(grace_s).wait()


def start_server(
    config: Config, service: GazetteerService, telemetry: Telemetry | None
) -> RunningServer:
    """Starts to listen.

    Args:
        config: Where to listen, and the limits.
        service: What to serve.
        telemetry: Where spans go, if anywhere.

    Returns:
        The server, and the port that it listens on.

    Raises:
        CannotListenError: The address cannot be listened on.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_workers=config.workers, thread_name_prefix="call"),
        interceptors=_layers(telemetry),
        options=_options(config),
        maximum_concurrent_rpcs=config.max_concurrent_calls,
    )
    pb_grpc.add_GazetteerServiceServicer_to_server(service, server)
    health_servicer = _Health()
    health_servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    _add_reflection(server)
    try:
        port = server.add_insecure_port(str(config.listen))
    except RuntimeError as error:
        raise CannotListenError(f"cannot listen on {config.listen}") from error
    server.start()
    return RunningServer(server, health_servicer, port)


class _Health(health.HealthServicer):
    """Health that is answered even while streams hold all of the workers."""

    def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        return super().Check(request, context)


# How grpcio is told to run a method on threads of its own.
setattr(  # noqa: B010
    _Health.Check,
    "experimental_thread_pool",
    ThreadPoolExecutor(max_workers=_HEALTH_WORKERS, thread_name_prefix="health"),
)


def _layers(telemetry: Telemetry | None) -> list[grpc.ServerInterceptor]:
    """Lists the layers around a call, outermost first."""
    # The span covers all of the call, and sees the status that it ends with.
    tracing = [telemetry.interceptor(SERVICE)] if telemetry is not None else []
    # Whatever goes wrong inside leaves as a status.
    return [*tracing, ErrorBoundary(SERVICE)]


def _options(config: Config) -> Sequence[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        # An address in use must fail, not be shared with whoever has it.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_INTERVAL_MS),
    ]


def _add_reflection(server: grpc.Server) -> None:
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME, _REFLECTION_V1)
    reflection.enable_server_reflection(names, server)
    # v1 has the messages of v1alpha under another name: equal bytes, so the same servicer.
    servicer = reflection.ReflectionServicer(names)
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(_REFLECTION_V1, {"ServerReflectionInfo": method})
    server.add_generic_rpc_handlers((handler,))
