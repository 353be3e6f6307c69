"""Serves the foreign service until SIGTERM."""

import argparse
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from foreign.service import SERVICE, Foreign

THREADS = 64
GRACE_S = 1.0


def main() -> None:
    """Parses, serves, says where, waits."""
    parser = argparse.ArgumentParser(prog="foreign", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--arm", required=True)
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="of Echo")
    parser.add_argument("--pad", type=int, default=0, metavar="BYTES", help="behind Echo's answer")
    arguments = parser.parse_args()
    server = grpc.server(
        ThreadPoolExecutor(THREADS),
        handlers=[Foreign(arguments.arm, delay_s=arguments.delay, pad=arguments.pad)],
        options=(("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)),
    )
    healthy = health.HealthServicer()
    healthy.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection((health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    host = arguments.listen.rpartition(":")[0]
    port = server.add_insecure_port(arguments.listen)
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    print(f"listening on {host}:{port}", flush=True)
    ended.wait()
    server.stop(GRACE_S).wait()


if __name__ == "__main__":
    main()
