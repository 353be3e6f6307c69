"""The dashboard in a real browser, with recorded states that are hard to reach live."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_fixture import HOSTILE, STORIES, Playback
from dashboard_page import DashboardPage, find_browser, open_browser
from harness.paths import ROOT
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

STATIC = ROOT / "control" / "dashboard"
# WCAG 2.2, level AA, for text of any size.
LEAST_CONTRAST = 4.5
SEARCH = "/gazetteer.v1.GazetteerService/SearchPlaces"

needs_browser = pytest.mark.skipif(
    find_browser() is None and "CI" not in os.environ,
    reason="no chromium and chromedriver on PATH (Debian: apt-get install chromium-driver)",
)


@pytest.fixture
def playback() -> Iterator[Playback]:
    """A recorded control plane, at first with a ramp that moves up."""
    with Playback("progressing") as playing:
        yield playing


@pytest.fixture
def dashboard_url(playback: Playback) -> str:
    """Where the dashboard is."""
    return playback.url


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardPage]:
    """A browser for the whole module."""
    with open_browser(tmp_path_factory.mktemp("browser")) as chrome:
        yield DashboardPage(chrome)


@pytest.fixture
def page(blank: DashboardPage, dashboard_url: str) -> Iterator[DashboardPage]:
    """The page, opened; it may not have complained of anything when the test is over."""
    yield blank.open(dashboard_url)
    assert blank.console_errors() == []
    blank.chrome.get("about:blank")


@needs_browser
def test_shows_the_rollout_at_a_glance(page: DashboardPage) -> None:
    assert page.name() == "gazetteer"
    assert page.phase() == "Progressing"
    assert page.scopes() == ["*"]
    assert (page.weight(), page.step()) == ("10 %", "10 %")
    assert page.gates() == {
        "mismatch": "wait",
        "hold": "wait",
        "min_calls": "advance",
        "error_rate": "advance",
        "latency": "advance",
    }
    assert re.search(r"hold of 30 min: \d+ min( \d+ s)? left", page.ramp_text())
    assert re.search(r"Evidence \S+; decides at 20\.", page.ramp_text())
    assert page.commands() == ['cutover pause --why "…"', 'cutover abort --why "…"']


@needs_browser
def test_numbers_move_without_a_reload(page: DashboardPage) -> None:
    before = page.methods()[SEARCH]
    rate = page.figure("calls", "legacy")
    page.wait(
        lambda p: p.methods()[SEARCH].calls["candidate"] > before.calls["candidate"],
        "calls of the candidate to rise",
    )
    page.wait(lambda p: p.figure("calls", "legacy") != rate, "the rate to move")
    after = page.methods()[SEARCH]
    assert after.calls["legacy"] > before.calls["legacy"]
    assert after.compared > before.compared
    assert not page.reloaded()


@needs_browser
def test_both_arms_stand_side_by_side(page: DashboardPage) -> None:
    row = page.methods()[SEARCH]
    assert (row.weight, row.owner) == ("10 %", "by the ramp")
    assert row.p99 == {"legacy": "137 ms", "candidate": "11.1 ms"}
    assert re.fullmatch(r"≤ \d+ \(0\.0\d+ %\)", row.differing)
    assert page.methods()["/gazetteer.v1.GazetteerService/GetPlace"].differing == "0 (0 %)"
    write = page.methods()["/gazetteer.v1.GazetteerService/RecordVisit"]
    assert (write.weight, write.owner) == ("0 %", "pinned by the manifest")
    assert write.p99["candidate"] == "–"
    assert page.processes()["cpuCores"]["ratio"].endswith("×")
    assert page.operations()["db sqlite SELECT names"].startswith("N+1")
    assert ["In step" in proxy for proxy in page.proxies()] == [True]
    page.wait(lambda p: re.fullmatch(r"4\.\d+ ms", p.figure("p99", "candidate")), "the report")


@needs_browser
def test_a_rollback_is_plain_in_words(page: DashboardPage, playback: Playback) -> None:
    playback.play("rolled_back")
    page.wait(lambda p: p.phase() == "Rolled back", "the rollback to show")
    assert page.weight() == "0 %"
    assert page.headline().startswith("Rolled back: all methods at 0 %.")
    assert "until a person resumes" in page.headline()
    assert "17 were the candidate's" in page.ramp_text()
    assert page.gates() == {"paired_errors": "rollback"}
    assert 'cutover resume --revision 7 --why "…"' in page.commands()
    assert page.chrome.title.startswith("⚠ Rolled back")
    page.wait(lambda p: "Rolled back" in p.decisions()[0], "the decision to show")
    assert "10 % → 0 %" in page.decisions()[0]
    told = page.open_decision(9)
    for part in (
        *("paired errors", "of n = ", "Evidence ", "decides at "),
        *("results[].score, value, in SearchPlaces trace 4bf9", "cutover explain 9"),
    ):
        assert part in told
    said = page.text("#announcer")
    assert said.startswith("Rolled back: all methods at 0 %.")
    assert not page.reloaded()


@needs_browser
def test_worst_ramp_comes_first(page: DashboardPage, playback: Playback) -> None:
    playback.play("per_method")
    page.wait(lambda p: len(p.scopes()) == 6, "six ramps")
    assert page.scopes()[0] == SEARCH
    assert page.scopes()[-1].endswith("FindNearest")
    resume = 'cutover resume --scope SearchPlaces --revision 7 --why "…"'
    assert page.commands(SEARCH)[-1] == resume
    assert page.headline().startswith("Rolled back: SearchPlaces.")


@needs_browser
def test_says_why_a_manifest_was_refused(page: DashboardPage, playback: Playback) -> None:
    playback.play("manifest_error")
    page.wait(lambda p: "manifest" in p.banners(), "the banner")
    assert "cutover.yaml:14:13" in page.banners()["manifest"]
    assert "stays in force" in page.banners()["manifest"]
    assert "no method Finde" in page.banners()["proxy"]
    assert "generation requested 7, applied 6" in page.proxies()[0]
    assert "Behind" in page.proxies()[0]
    assert "Not connected" in page.proxies()[1]
    playback.play("progressing")
    page.wait(lambda p: p.banners() == {}, "the banners to go")


@needs_browser
def test_an_override_names_who_and_why(page: DashboardPage, playback: Playback) -> None:
    playback.play("override")
    page.wait(lambda p: "override" in p.banners(), "the banner")
    banner = page.banners()["override"]
    assert "SearchPlaces at 25 %" in banner
    assert "Set by dana" in banner
    assert "reproduce the ranking tie" in banner
    assert "cutover weight SearchPlaces --reset" in banner
    assert page.methods()[SEARCH].owner == "overridden by an operator"
    assert page.phase() == "Paused"


@needs_browser
def test_hostile_strings_stay_text(page: DashboardPage, playback: Playback) -> None:
    playback.play("hostile")
    page.wait(lambda p: p.name() == HOSTILE[0], "the hostile name")
    assert page.banners()["manifest"].find(HOSTILE[1]) > 0
    assert HOSTILE[2] in page.ramp_text()
    assert {row.path for row in page.differences()} >= set(HOSTILE[:4])
    examples = page.open_difference(HOSTILE[1]).find_elements("css selector", "pre")
    assert [one.text for one in examples][:2] == [HOSTILE[1], HOSTILE[1]]
    page.wait(lambda p: len(p.traces()) > 0, "traces")
    page.open_trace(page.traces()[0])
    page.wait(lambda p: bool(p.all(".waterfall")), "the waterfalls")
    foreign = "main script, main style, main svg[onload], main img, [onerror], iframe, object"
    assert page.all(foreign) == []
    assert page.chrome.title == f"Paused · {HOSTILE[0]} · Cutover"
    body = page.text("main")
    assert "ab\\u202egnp.exe\\u0000\\u0007 \\u200bzero" in body
    assert "\u202e" not in body
    assert HOSTILE[7] in body


@needs_browser
@pytest.mark.parametrize("story", sorted(STORIES))
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast(blank: DashboardPage, story: str, dark: bool) -> None:
    with Playback(story) as playing:
        blank.open(playing.url, dark=dark)
        blank.wait(lambda p: p.phase() != "Waiting", "the first status")
        contrasts = blank.contrast("body *")
        assert len(contrasts) > 40
        assert {k: v for k, v in contrasts.items() if v < LEAST_CONTRAST} == {}
        assert blank.console_errors() == []
        blank.chrome.get("about:blank")


@needs_browser
def test_theme_can_be_turned_and_is_kept(page: DashboardPage, dashboard_url: str) -> None:
    def ground() -> str:
        return page.one("body").value_of_css_property("background-color")

    light = ground()
    assert page.toggle_dark()
    dark = ground()
    assert dark != light
    page.open(dashboard_url)
    assert ground() == dark
    assert not page.toggle_dark()
    assert ground() == light


@needs_browser
@pytest.mark.parametrize(
    ("story", "path"),
    [("per_method", "search_id"), ("rolled_back", "search_id"), ("hostile", HOSTILE[6])],
    ids=["per_method", "rolled_back", "hostile"],
)
def test_usable_at_the_width_of_a_telephone(blank: DashboardPage, story: str, path: str) -> None:
    with Playback(story) as playing:
        blank.open(playing.url, width=400, height=800)
        blank.wait(lambda p: len(p.methods()) > 0 and len(p.traces()) > 0, "the panels")
        blank.open_trace(blank.traces()[0])
        blank.open_difference(path)
        assert blank.overflow_px() == 0
        assert blank.console_errors() == []
        blank.chrome.get("about:blank")


@needs_browser
def test_updates_keep_what_a_person_opened(page: DashboardPage) -> None:
    row = page.open_difference("results[].score")
    page.wait(lambda p: len(p.traces()) > 0, "traces")
    trace = page.traces()[0]
    pair = page.open_trace(trace)
    button = row.find_element("css selector", ".disclosure")
    page.chrome.execute_script(
        'arguments[0].focus(); window.scrollTo({top: 900, behavior: "instant"})', button
    )
    scrolled = page.chrome.execute_script("return window.scrollY")
    calls = page.methods()[SEARCH].calls["legacy"]
    page.wait(lambda p: p.methods()[SEARCH].calls["legacy"] > calls + 1_000, "many updates")
    assert button.get_attribute("aria-expanded") == "true"
    assert row.find_elements("css selector", ".examples li")
    assert pair.find_elements("css selector", ".waterfall tbody tr")
    assert page.chrome.switch_to.active_element == button
    assert page.chrome.execute_script("return window.scrollY") == scrolled


@needs_browser
def test_a_difference_leads_to_its_trace(page: DashboardPage) -> None:
    row = page.open_difference("results[].place.id")
    gone, kept = row.find_elements("css selector", ".trace-link")[:2]
    page.chrome.execute_script("arguments[0].click()", gone)
    page.wait(lambda p: "is not among the pairs kept" in p.one("#traces").text, "an answer")
    trace = (kept.get_attribute("aria-label") or "").removeprefix("Show trace ")
    page.chrome.execute_script("arguments[0].click()", kept)
    page.wait(lambda p: bool(p.all(f'[data-trace="{trace}"] .waterfall')), "the waterfalls")
    focused = page.chrome.switch_to.active_element
    assert focused.accessible_name == f"Trace {trace} of SearchPlaces"


@needs_browser
def test_a_lost_connection_is_said_and_mended(page: DashboardPage, playback: Playback) -> None:
    row = page.open_difference("results[].score")
    playback.cut()
    page.wait(lambda p: p.connection().startswith("Lost since"), "the loss to show")
    page.wait(lambda p: "lost" in p.banners(), "the banner")
    assert "no longer move" in page.banners()["lost"]
    assert page.weight() == "10 %"
    playback.mend()
    page.wait(lambda p: p.connection() == "Live", "the page to reconnect")
    calls = page.methods()[SEARCH].calls["legacy"]
    page.wait(lambda p: p.methods()[SEARCH].calls["legacy"] > calls, "numbers to move again")
    assert row.find_elements("css selector", ".examples li")
    page.wait(lambda p: "lost" not in p.banners(), "the banner to go")
    assert not page.reloaded()
    refused = [one for one in page.console_errors() if "503" not in one]
    assert refused == []


@needs_browser
def test_asks_for_a_token_where_one_is_wanted(blank: DashboardPage) -> None:
    with Playback("progressing", token="t0ken") as playing:
        blank.chrome.get(playing.url)
        blank.wait(lambda p: p.one("#token").is_displayed(), "the form")
        assert blank.methods() == {}
        blank.one("#token input").send_keys("t0ken" + Keys.ENTER)
        blank.wait(lambda p: p.connection() == "Live", "the page to be live")
        assert not blank.one("#token").is_displayed()
        blank.wait(lambda p: len(p.decisions()) > 0, "the decisions")
        assert blank.weight() == "10 %"
        blank.chrome.get("about:blank")
        assert [one for one in blank.console_errors() if "401" not in one] == []


@needs_browser
def test_works_by_keyboard(page: DashboardPage) -> None:
    def press(*keys: str) -> None:
        ActionChains(page.chrome).send_keys(*keys).perform()

    press(Keys.TAB)
    assert page.chrome.switch_to.active_element.text == "Skip to the rollout"
    press(Keys.ENTER)
    opener = page.one("table.methods .disclosure")
    for _ in range(30):
        press(Keys.TAB)
        if page.chrome.switch_to.active_element == opener:
            break
    press(Keys.ENTER)
    assert opener.get_attribute("aria-expanded") == "true"
    details = page.one("table.methods .more")
    assert details.is_displayed()
    assert "NOT_FOUND" in details.text
    press(Keys.SPACE)
    assert not details.is_displayed()


@needs_browser
def test_everything_has_a_name(page: DashboardPage) -> None:
    page.wait(lambda p: len(p.traces()) > 0, "traces")
    for control in page.all("button, select, input, a, summary, [role=region]"):
        if control.is_displayed():
            assert control.accessible_name.strip(), control.get_attribute("outerHTML")
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(f"body > {landmark}, body > header > {landmark}")) == 1
    for section in page.all("main section"):
        assert section.aria_role == "region"
        assert section.accessible_name
    assert len(page.all("h1")) == 1


@needs_browser
def test_says_what_to_do_when_there_is_nothing(page: DashboardPage, playback: Playback) -> None:
    playback.play("empty")
    page.wait(lambda p: p.weight() == "0 %", "the empty state")
    text = page.one("main").text
    assert "No method has had a call yet." in text
    assert "No pair compared yet" in text
    assert "No proxy has connected yet." in text
    assert "NaN" not in text
    assert "undefined" not in text


def test_pages_hold_no_markup_from_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|"
        r"setAttribute\(\s*[\"']style|https?://(?!www\.w3\.org)"
    )
    files = [f for f in STATIC.rglob("*.js") if "vendor" not in f.parts]
    assert len(files) > 15
    for file in files:
        assert not forbidden.search(file.read_text()), file
    index = (STATIC / "index.html").read_text()
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)|https?://", index)


def test_vendored_files_are_unchanged() -> None:
    vendor = STATIC / "vendor" / "uplot"
    lines = [
        line.split("  ")
        for line in (vendor / "CHECKSUMS").read_text().splitlines()
        if not line.startswith("#")
    ]
    listed = {name: digest for digest, name in lines}
    present = {
        f.name: hashlib.sha256(f.read_bytes()).hexdigest()
        for f in vendor.iterdir()
        if f.name != "CHECKSUMS"
    }
    assert listed == present
    assert "LICENSE" in listed


def test_every_file_of_the_page_is_reached() -> None:
    reached: set[Path] = set()
    waiting = [STATIC / "index.html"]
    while waiting:
        file = waiting.pop()
        reached.add(file)
        found = re.findall(r"(?:from |import |src=|href=)\"([^\"#]+)\"", file.read_text())
        waiting += [
            target for name in found if (target := (file.parent / name).resolve()) not in reached
        ]
    shipped = {f for f in STATIC.rglob("*") if f.suffix in (".js", ".css", ".svg", ".html")}
    assert reached == shipped
