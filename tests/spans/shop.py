"""A shop whose every outbound call is somebody else's instrumentation at work.

It runs in virtual environments of its own, with instrumentations of several years, so it keeps to
what all of them have. `Sell` asks and writes a database, `Quote` calls over HTTP, and `Reserve`
over gRPC; each also meets a failure.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import requests
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient, GrpcInstrumentorServer
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SCHEMA = """
CREATE TABLE goods (id INTEGER PRIMARY KEY, price INTEGER, stock INTEGER);
CREATE TABLE orders (good_id INTEGER, price INTEGER);
INSERT INTO goods VALUES (1, 250, 10);
"""


class Shop(grpc.GenericRpcHandler):
    """The service `spans.v1.Shop`, without generated code."""

    def __init__(self, stock: grpc.Channel, prices: str) -> None:
        """Sells what is in memory; asks `stock` by gRPC and the URL `prices` by HTTP."""
        # The only thread of the server uses it.
        self._goods = sqlite3.connect(":memory:", check_same_thread=False)
        self._stock = stock
        self._prices = prices
        self._handlers = {
            f"/spans.v1.Shop/{name}": grpc.unary_unary_rpc_method_handler(
                handler,
                request_deserializer=StringValue.FromString,
                response_serializer=StringValue.SerializeToString,
            )
            for name, handler in (
                ("Sell", self.sell),
                ("Quote", self.quote),
                ("Reserve", self.reserve),
            )
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a method."""
        return self._handlers.get(handler_call_details.method)

    def fill(self) -> None:
        """Makes the tables."""
        self._goods.executescript(SCHEMA)

    def sell(self, request: StringValue, _: grpc.ServicerContext) -> StringValue:
        """A SELECT, a count, and two writes in one transaction."""
        with self._goods as goods:
            cursor = goods.cursor()
            cursor.execute("SELECT price FROM goods WHERE id = ?", (request.value,))
            (price,) = cursor.fetchone()
            cursor.execute("SELECT count(*) FROM orders WHERE good_id = ?", (request.value,))
            cursor.execute("INSERT INTO orders VALUES (?, ?)", (request.value, price))
            cursor.execute("UPDATE goods SET stock = stock - 1 WHERE id = ?", (request.value,))
        return StringValue(value=str(price))

    def quote(self, request: StringValue, _: grpc.ServicerContext) -> StringValue:
        """A GET below a span of our own, a POST, and a page that is not there."""
        with trace.get_tracer("shop").start_as_current_span("ask for the rate"):
            rate = requests.get(f"{self._prices}/rates/{request.value}?base=1", timeout=10)
        requests.post(f"{self._prices}/quotes", data=rate.text, timeout=10)
        requests.get(f"{self._prices}/gone", timeout=10)
        return StringValue(value=rate.text)

    def reserve(self, request: StringValue, _: grpc.ServicerContext) -> StringValue:
        """A call that is answered, and one that is not found."""
        self._ask("Take")(request, timeout=10)
        try:
            self._ask("Audit")(request, timeout=10)
        except grpc.RpcError as error:
            return StringValue(value=error.code().name)
        return StringValue()

    def _ask(self, method: str) -> grpc.UnaryUnaryMultiCallable:
        return self._stock.unary_unary(
            f"/spans.v1.Stock/{method}",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )


def main() -> None:
    """Serves until SIGTERM, and sends the last spans."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock", required=True, metavar="HOST:PORT")
    parser.add_argument("--prices", required=True, metavar="URL")
    arguments = parser.parse_args()
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracers)
    for instrumentor in (
        GrpcInstrumentorServer,
        GrpcInstrumentorClient,
        RequestsInstrumentor,
        SQLite3Instrumentor,
    ):
        instrumentor().instrument()
    shop = Shop(grpc.insecure_channel(arguments.stock), arguments.prices)
    shop.fill()
    server = grpc.server(ThreadPoolExecutor(1), handlers=[shop])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    print(f"listening on 127.0.0.1:{port}", flush=True)
    ended.wait()
    server.stop(1).wait()
    tracers.shutdown()


if __name__ == "__main__":
    main()
