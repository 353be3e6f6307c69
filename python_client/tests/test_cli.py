"""The command `gazetteer`: what it prints and how it exits."""

from __future__ import annotations

import io
import json
import subprocess
import sysconfig
from pathlib import Path

import grpc
import pytest
from fakes import WAIT_S, FakeGazetteer, serve

from gazetteer._cli import main

PLACE = "2657896  Zürich, CH  47.3667 8.5500  Europe/Zurich  341,730 inhabitants"


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["get", "5"], f"{PLACE}  7 visits\n  also: Zurigo\n"),
        (["search", "Zürich"], f"1.0553  {PLACE}  (Zürich)\n"),
        (["nearest", "-33.9", "-18.4"], f"1.234 km  {PLACE}\n"),
        (["list", "--limit", "2"], f"{PLACE}\n{PLACE}\n"),
        (["route", "-1.5", "0", "4", "0"], "0.003 km over 2 points, longest leg 0.000 km\n"),
        (["suggest", "z", "zu"], "0: z (CH)\n1: zu (CH)\n"),
        (["visit", "5", "ada"], "visit 1 recorded, 8 in all\n"),
    ],
)
def test_prints_what_was_answered(
    arguments: list[str], printed: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--target", target, *arguments]) == 0
    assert capsys.readouterr().out == printed


def test_prints_json_by_line(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", target, "--output", "json", "list", "--limit", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    place = json.loads(first)
    assert (place["name"], place["country_code"]) == ("Zürich", "CH")


def test_suggests_for_the_lines_of_standard_input(
    target: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("b\nbe\nber\n"))
    assert main(["--target", target, "suggest"]) == 0
    assert capsys.readouterr().out == "0: b (CH)\n1: be (CH)\n2: ber (CH)\n"


def test_sends_the_user_as_sticky_key(gazetteer: FakeGazetteer, target: str) -> None:
    assert main(["--target", target, "--user", "ada", "get", "5"]) == 0
    assert gazetteer.seen[0].metadata["x-user-id"] == "ada"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.NOT_FOUND, 1),
        (grpc.StatusCode.INTERNAL, 1),
    ],
)
def test_exits_by_whose_fault_it_is(
    code: grpc.StatusCode,
    exit_code: int,
    gazetteer: FakeGazetteer,
    target: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gazetteer.fail("GetPlace", code, "made up")
    assert main(["--target", target, "get", "5"]) == exit_code
    assert "made up" in capsys.readouterr().err


def test_says_where_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with serve() as target:
        pass
    assert main(["--target", target, "get", "5"]) == 1
    assert f"gazetteer: {target}: UNAVAILABLE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["get", "five"], ["--timeout", "0", "get", "5"]]
)
def test_refuses_a_wrong_command_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(arguments)
    assert refusal.value.code == 2
    assert "usage: gazetteer" in capsys.readouterr().err


def test_refuses_half_a_point(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", target, "route", "1", "2", "3"]) == 2
    assert "route takes pairs" in capsys.readouterr().err


def test_is_installed_and_stops_when_its_reader_does(target: str) -> None:
    command = Path(sysconfig.get_path("scripts")) / "gazetteer"
    with subprocess.Popen(
        [command, "--target", target, "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"{PLACE}\n"
        process.stdout.close()
        assert process.wait(timeout=WAIT_S) == 0
        assert process.stderr.read() == ""
