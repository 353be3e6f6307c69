"""TLS, with certificates that openssl makes for the test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from fakes import WAIT_S, FakeGazetteer

import gazetteer as gz
from cutover import Tls
from gazetteer import AsyncGazetteerClient, GazetteerClient
from gazetteer.v1.gazetteer_pb2_grpc import add_GazetteerServiceServicer_to_server


@pytest.fixture(scope="module")
def key_and_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    # One self-signed certificate serves as root, server and client.
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=gazetteer.test", "-addext", "subjectAltName=DNS:gazetteer.test"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(
        [*command.split(), *names, *files],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=WAIT_S,
    )
    return (folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes()


@pytest.fixture
def tls_target(key_and_certificate: tuple[bytes, bytes]) -> Iterator[str]:
    key, certificate = key_and_certificate
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    add_GazetteerServiceServicer_to_server(FakeGazetteer(), server)
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=certificate, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_proves_itself_and_trusts_the_given_root(
    tls_target: str, key_and_certificate: tuple[bytes, bytes]
) -> None:
    with GazetteerClient.connect(tls_target, tls=_mutual(*key_and_certificate)) as client:
        assert client.get_place(1).place.name == "Zürich"


async def test_proves_itself_and_trusts_the_given_root_aio(
    tls_target: str, key_and_certificate: tuple[bytes, bytes]
) -> None:
    tls = _mutual(*key_and_certificate)
    async with AsyncGazetteerClient.connect(tls_target, tls=tls) as client:
        assert (await client.get_place(1)).place.name == "Zürich"


def test_trusts_nobody_else(tls_target: str) -> None:
    tls = Tls(server_name="gazetteer.test")
    with (
        GazetteerClient.connect(tls_target, tls=tls) as client,
        pytest.raises(gz.Unavailable),
    ):
        client.get_place(1)


def test_checks_the_name_of_the_server(
    tls_target: str, key_and_certificate: tuple[bytes, bytes]
) -> None:
    key, certificate = key_and_certificate
    tls = Tls(root_certificates=certificate, private_key=key, certificate_chain=certificate)
    with (
        GazetteerClient.connect(tls_target, tls=tls) as client,
        pytest.raises(gz.Unavailable),
    ):
        client.get_place(1)


def test_hides_the_private_key() -> None:
    assert "secret" not in repr(Tls(private_key=b"secret", certificate_chain=b""))


def _mutual(key: bytes, certificate: bytes) -> Tls:
    return Tls(
        root_certificates=certificate,
        private_key=key,
        certificate_chain=certificate,
        server_name="gazetteer.test",
    )
