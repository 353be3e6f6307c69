"""Between exporters and several control planes.

Spans go by their trace id, as they do behind the OpenTelemetry Collector's load-balancing exporter.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_rpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_rpc
from typing_extensions import Self

_THREADS = 8
_EXPORT_S = 5.0


class Router(traces_rpc.TraceServiceServicer, metrics_rpc.MetricsServiceServicer):
    """Takes spans and hands each to the control plane that its trace id chooses."""

    def __init__(self) -> None:
        """Starts it; it listens on `address`, and drops what comes before it is told where to."""
        self._traces: list[traces_rpc.TraceServiceStub] = []
        self.trace_ids: list[set[bytes]] = []
        self._server = grpc.server(ThreadPoolExecutor(_THREADS))
        traces_rpc.add_TraceServiceServicer_to_server(self, self._server)
        metrics_rpc.add_MetricsServiceServicer_to_server(_Metrics(), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.address = f"127.0.0.1:{port}"

    def to(self, control_planes: Sequence[str]) -> None:
        """Spreads spans over these from now on."""
        channels = [grpc.insecure_channel(address) for address in control_planes]
        self.trace_ids = [set() for _ in channels]
        self._traces = [traces_rpc.TraceServiceStub(channel) for channel in channels]

    def Export(  # noqa: N802
        self, request: traces.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> traces.ExportTraceServiceResponse:
        """Splits an export; one that can't be delivered is lost, as it would be there."""
        for index, stub in enumerate(self._traces):
            part = traces.ExportTraceServiceRequest()
            for resource in request.resource_spans:
                to_resource = part.resource_spans.add(resource=resource.resource)
                for scope in resource.scope_spans:
                    to_scope = to_resource.scope_spans.add(scope=scope.scope)
                    for span in scope.spans:
                        if span.trace_id[-1] % len(self._traces) == index:
                            to_scope.spans.append(span)
                            self.trace_ids[index].add(span.trace_id)
            try:
                stub.Export(part, timeout=_EXPORT_S)
            except grpc.RpcError:
                continue
        return traces.ExportTraceServiceResponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()


class _Metrics(metrics_rpc.MetricsServiceServicer):
    def Export(  # noqa: N802
        self, request: metrics.ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> metrics.ExportMetricsServiceResponse:
        return metrics.ExportMetricsServiceResponse()
