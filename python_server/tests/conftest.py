"""The small gazetteer, on disk and served, for every test that needs one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from gazetteer.v1 import gazetteer_pb2_grpc as pb_grpc
from small import CITIES, NOW_MS

from gazetteer_server.config import Config, parse_config
from gazetteer_server.domain.gazetteer import build_gazetteer
from gazetteer_server.load import write_database
from gazetteer_server.server import RunningServer, start_server
from gazetteer_server.service import GazetteerService
from gazetteer_server.store import Store
from gazetteer_server.telemetry import Telemetry

Serve = Callable[..., RunningServer]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "small.db"
    write_database(path, CITIES)
    return path


@pytest.fixture
def config(database: Path) -> Config:
    return parse_config(["--listen", "127.0.0.1:0", "--database", str(database)], {})


@pytest.fixture
def serve(config: Config) -> Iterator[Serve]:
    """Serves a store, or whatever service is handed in, until the test ends."""
    with ExitStack() as stack:

        def start(
            store: Store | None = None,
            *,
            service: GazetteerService | None = None,
            telemetry: Telemetry | None = None,
            changed: Config = config,
        ) -> RunningServer:
            if service is None:
                store = store or Store(changed.database)
                gazetteer = build_gazetteer(*store.read_all())
                service = GazetteerService(gazetteer, store, now_ms=lambda: NOW_MS)
            running = start_server(changed, service, telemetry)
            stack.callback(running.drain, 0)
            return running

        yield start


@pytest.fixture
def connect() -> Iterator[Callable[[RunningServer], grpc.Channel]]:
    """Opens channels that close when the test ends."""
    with ExitStack() as stack:
        yield lambda running: stack.enter_context(
            grpc.insecure_channel(f"127.0.0.1:{running.port}")
        )


@pytest.fixture
def stub(
    serve: Serve, connect: Callable[[RunningServer], grpc.Channel]
) -> pb_grpc.GazetteerServiceStub:
    return pb_grpc.GazetteerServiceStub(connect(serve()))
