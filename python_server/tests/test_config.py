import logging
from pathlib import Path

import pytest

from gazetteer_server.config import Address, parse_config


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:80", "::1", 80),
    ],
)
def test_reads_an_address(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", ":", "localhost", ":80", "::1:80", "a:", "a:-1", "a:65536", "a:8o", "a:²"]
)
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Address.parse(text)


def test_a_flag_wins_over_the_environment_and_that_over_the_default(database: Path) -> None:
    environment = {"GAZETTEER_DATABASE": str(database), "GAZETTEER_WORKERS": "3"}
    assert parse_config([], environment).workers == 3
    assert parse_config(["--workers", "4"], environment).workers == 4
    config = parse_config([], {"GAZETTEER_DATABASE": str(database)})
    assert (config.workers, config.max_concurrent_calls, config.max_message_bytes) == (
        16,
        1000,
        4 * 1024 * 1024,
    )
    assert (config.shutdown_grace_s, config.log_level) == (10.0, logging.INFO)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--workers", "0"], "--workers: '0': must be a whole number between 1 and 1024"),
        (["--max-message-bytes", "-1"], "--max-message-bytes: '-1': must be a whole number"),
        (["--max-concurrent-calls", "many"], "--max-concurrent-calls: 'many': must be"),
        (["--shutdown-grace", "nan"], "--shutdown-grace: 'nan': must be a number of seconds"),
        (["--shutdown-grace", "soon"], "--shutdown-grace: 'soon': must be a number of seconds"),
        (["--log-level", "loud"], "--log-level: 'loud': must be one of debug, info"),
        (["--listen", "here"], "--listen: 'here': must be HOST:PORT"),
        (["--database", "/no/where.db"], "run gazetteer-load --database /no/where.db"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_says_what_is_wrong_and_ends_with_code_2(
    arguments: list[str],
    complaint: str,
    database: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_config(arguments, {"GAZETTEER_DATABASE": str(database)})
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_wrong_environment_variable_is_refused_too(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_config([], {"GAZETTEER_DATABASE": str(database), "GAZETTEER_WORKERS": "x"})
    assert "--workers: 'x': must be a whole number" in capsys.readouterr().err
