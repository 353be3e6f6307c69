"""The dashboard of a running `cutover up`, in a real browser, while calls flow."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dashboard_page import DashboardPage, find_browser, open_browser
from harness import (
    CutoverUp,
    Process,
    free_port,
    manifest,
    rule,
    start_broken,
    start_legacy,
    wait_until,
)
from harness.load import load_command
from harness.paths import copy_database

SERVICE = "gazetteer.v1.GazetteerService"
SEARCH = f"/{SERVICE}/SearchPlaces"

needs_browser = pytest.mark.skipif(
    find_browser() is None and "CI" not in os.environ,
    reason="left out: no chromium and chromedriver on PATH (Debian: chromium, chromium-driver)",
)


@pytest.fixture
def busy(database: Path, tmp_path: Path, logs: Path) -> Iterator[CutoverUp]:
    """`cutover up` between the Python arm and a broken candidate, with callers."""
    own = copy_database(database, tmp_path / "own.db")
    port = free_port()
    otlp = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        legacy = stack.enter_context(start_legacy(own, logs=logs, otlp=otlp))
        broken = stack.enter_context(start_broken(own, logs=logs, otlp=otlp))
        content = manifest(
            legacy.url,
            broken.url,
            rules=[rule(mirror={"percent": 100}, compare={"captureValues": True})],
            ramp={"steps": [{"weight": 10}, {"weight": 100}]},
            name="live",
        )
        up = CutoverUp(content, scratch=tmp_path, logs=logs, control_port=port)
        stack.enter_context(up)
        flags = {"mode": "open", "rate": 60, "duration": 600, "keys": 500}
        command = load_command(up.url, database=own, **flags)
        stack.enter_context(Process("callers", command, logs=logs))
        wait_until(lambda: up.metrics().sum("cutover_pairs_compared_total") > 50, timeout=30)
        yield up


@needs_browser
@pytest.mark.timeout(240)
def test_the_dashboard_is_live_while_calls_flow(busy: CutoverUp, tmp_path: Path) -> None:
    with open_browser(tmp_path) as chrome:
        page = DashboardPage(chrome).open(busy.dashboard)
        assert page.name() == "live"
        page.wait(lambda page: SEARCH in page.methods(), "the methods to be listed")
        before = page.methods()[SEARCH].calls["legacy"]
        page.wait(
            lambda page: page.methods()[SEARCH].calls["legacy"] > before, "the counts to move"
        )
        assert page.methods()[SEARCH].compared > 0
        page.wait(
            lambda page: any(row.method.endswith("SearchPlaces") for row in page.differences()),
            "the broken build's differences",
        )
        page.wait(lambda page: page.traces(), "pairs of traces")
        page.wait(lambda page: page.decisions(), "the decision log")
        page.wait(lambda page: page.processes(), "CPU and memory of both arms")
        assert len(page.proxies()) == 1
        assert not page.reloaded()
        assert page.console_errors() == []


@needs_browser
@pytest.mark.timeout(240)
def test_the_dashboard_shows_what_an_operator_does(busy: CutoverUp, tmp_path: Path) -> None:
    with open_browser(tmp_path) as chrome, busy.operator() as operator:
        page = DashboardPage(chrome).open(busy.dashboard)
        page.wait(lambda page: SEARCH in page.methods(), "the methods to be listed")
        operator.set_weight(33, scope=SEARCH, why="shown on the page")
        page.wait(lambda page: page.methods()[SEARCH].weight == "33 %", "the new weight")
        assert "operator" in page.methods()[SEARCH].owner
        page.wait(
            lambda page: any("shown on the page" in line for line in page.decisions()),
            "the decision with its reason",
        )
        assert not page.reloaded()
