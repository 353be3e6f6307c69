"""Health, reflection, limits and the end of a server."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from conftest import Serve
from gazetteer.v1 import gazetteer_pb2 as pb
from gazetteer.v1 import gazetteer_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as reflected

from gazetteer_server.config import Address, Config
from gazetteer_server.server import CannotListenError, RunningServer
from gazetteer_server.service import SERVICE

Connect = Callable[[RunningServer], grpc.Channel]

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _code(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert isinstance(raised.value, grpc.Call)
    return raised.value.code()


@pytest.mark.parametrize("service", ["", SERVICE])
def test_is_serving(serve: Serve, connect: Connect, service: str) -> None:
    health: Any = health_pb2_grpc.HealthStub(connect(serve()))
    assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == _SERVING


def test_another_service_is_not_found(serve: Serve, connect: Connect) -> None:
    health: Any = health_pb2_grpc.HealthStub(connect(serve()))
    request = health_pb2.HealthCheckRequest(service="no.Such")
    assert _code(lambda: health.Check(request)) == grpc.StatusCode.NOT_FOUND


def test_says_not_serving_before_it_ends(serve: Serve, connect: Connect) -> None:
    running = serve()
    channel = connect(running)
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    health: Any = health_pb2_grpc.HealthStub(channel)
    watched = health.Watch(request)
    assert next(watched).status == _SERVING
    ending = threading.Thread(target=running.drain, args=(30,))
    ending.start()
    assert next(watched).status == _NOT_SERVING
    watched.cancel()
    ending.join(20)
    assert not ending.is_alive()


def test_a_running_call_may_end_within_the_grace(serve: Serve, connect: Connect) -> None:
    running = serve()
    stub = pb_grpc.GazetteerServiceStub(connect(running))
    pages = iter(stub.ListPlaces(pb.ListPlacesRequest(page_size=1)))
    assert next(pages).page == 0
    ending = threading.Thread(target=running.drain, args=(30,))
    ending.start()
    assert [page.page for page in pages] == [1, 2, 3, 4, 5]
    ending.join(20)
    assert not ending.is_alive()


def test_an_endless_stream_is_cut_when_the_grace_is_over(serve: Serve, connect: Connect) -> None:
    running = serve()
    stub = pb_grpc.GazetteerServiceStub(connect(running))
    never = threading.Event()

    def endless() -> object:
        yield pb.SuggestRequest(prefix="b")
        never.wait()

    responses = iter(stub.Suggest(endless()))  # type: ignore[arg-type]
    assert next(responses).sequence == 0
    running.drain(0)
    assert _code(lambda: next(responses)) in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
    )
    never.set()


def test_health_is_answered_while_streams_hold_all_workers(
    serve: Serve, connect: Connect, config: Config
) -> None:
    channel = connect(serve(changed=replace(config, workers=1)))
    stub = pb_grpc.GazetteerServiceStub(channel)
    never = threading.Event()

    def endless() -> object:
        yield pb.SuggestRequest(prefix="b")
        never.wait()

    call = stub.Suggest(endless())  # type: ignore[arg-type]
    assert next(iter(call)).sequence == 0
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == _SERVING
    never.set()


def test_one_call_too_many_is_refused(serve: Serve, connect: Connect, config: Config) -> None:
    stub = pb_grpc.GazetteerServiceStub(
        connect(serve(changed=replace(config, max_concurrent_calls=1)))
    )
    never = threading.Event()

    def endless() -> object:
        yield pb.SuggestRequest(prefix="b")
        never.wait()

    call = stub.Suggest(endless())  # type: ignore[arg-type]
    assert next(iter(call)).sequence == 0
    refused = _code(lambda: stub.GetPlace(pb.GetPlaceRequest(id=2)))
    assert refused == grpc.StatusCode.RESOURCE_EXHAUSTED
    never.set()


def test_a_message_too_large_is_refused(serve: Serve, connect: Connect, config: Config) -> None:
    stub = pb_grpc.GazetteerServiceStub(
        connect(serve(changed=replace(config, max_message_bytes=1000)))
    )
    assert stub.SearchPlaces(pb.SearchPlacesRequest(query="b")).search_id
    large = pb.SearchPlacesRequest(query="b" * 1000)
    assert _code(lambda: stub.SearchPlaces(large)) == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflects_itself(serve: Serve, connect: Connect, version: str) -> None:
    ask = connect(serve()).stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflected.ServerReflectionRequest.SerializeToString,
        reflected.ServerReflectionResponse.FromString,
    )
    requests = [
        reflected.ServerReflectionRequest(list_services=""),
        reflected.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    services, files = ask(iter(requests))
    assert SERVICE in {service.name for service in services.list_services_response.service}
    encoded = files.file_descriptor_response.file_descriptor_proto
    assert any(b"GazetteerService" in file for file in encoded)


def test_an_address_in_use_is_refused(serve: Serve, config: Config) -> None:
    running = serve()
    taken = replace(config, listen=Address("127.0.0.1", running.port))
    with pytest.raises(CannotListenError, match=f"127.0.0.1:{running.port}"):
        serve(changed=taken)
