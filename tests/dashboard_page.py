"""The dashboard as tests see it: a browser, and the page read as a person reads it."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from typing_extensions import Self

WAIT_S = 20.0
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class MethodRow:
    """One row of the methods table, as shown; arms are "legacy" and "candidate"."""

    method: str
    weight: str
    owner: str
    rate: dict[str, str]
    calls: dict[str, int]
    failed: dict[str, str]
    p99: dict[str, str]
    compared: int
    differing: str


@dataclass(frozen=True)
class DifferenceRow:
    """One row of the differences table, as shown."""

    path: str
    method: str
    kind: str
    pairs: str
    noisy: bool


def find_browser() -> tuple[str, str] | None:
    """The paths of Chromium and its driver, or None where one is missing."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def open_browser(scratch: Path) -> Iterator[Chrome]:
    """A headless Chromium with an empty profile below `scratch`; ends with the block."""
    found = find_browser()
    if found is None:
        raise FileNotFoundError("no chromium and chromedriver on PATH")
    browser, driver = found
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        *("disable-dev-shm-usage", "hide-scrollbars", f"user-data-dir={scratch / 'profile'}"),
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


class DashboardPage:
    """The page, opened. Every reader gives what is shown now; `wait` waits for what is to come."""

    def __init__(self, chrome: Chrome) -> None:
        """Reads the page through `chrome`."""
        self.chrome = chrome

    def open(self, url: str, *, width: int = 1280, height: int = 1000, dark: bool = False) -> Self:
        """Opens the dashboard in a window of that size and waits until it is live.

        Args:
            url: Where it is.
            width: Of the window, px.
            height: Of the window, px.
            dark: What the system prefers.
        """
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.resize(width, height)
        self.console_errors()
        self.chrome.get(url)
        self.chrome.execute_script("window.openedOnce = true")
        self.wait(lambda page: page.connection() == "Live", "the page to be live")
        return self

    def resize(self, width: int, height: int) -> None:
        """Gives the page a size, px; unlike a window, it may be as narrow as a telephone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def wait(self, condition: Callable[["DashboardPage"], object], what: str) -> None:
        """Waits until `condition` holds; `what` is said when it never does."""
        waiting = WebDriverWait(
            self.chrome, WAIT_S, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        waiting.until(lambda _: condition(self), f"waited {WAIT_S:.0f} s for {what}")

    def reloaded(self) -> bool:
        """Whether the page was loaded again since it was opened."""
        return bool(self.chrome.execute_script("return window.openedOnce !== true"))

    def connection(self) -> str:
        """The link in words: "Live", "Connecting" or "Lost since …"."""
        return self._field("connection")

    def name(self) -> str:
        """The manifest's name."""
        return self._field("name")

    def phase(self) -> str:
        """The phase in words, the worst of all ramps."""
        return self._field("phase")

    def headline(self) -> str:
        """The sentence at the top."""
        return self._field("headline")

    def scopes(self) -> list[str]:
        """The scopes of the ramps, in the order shown."""
        return [card.get_attribute("data-scope") or "" for card in self.all(".ramp")]

    def weight(self, scope: str = "*") -> str:
        """A ramp's weight, such as "10 %"."""
        return self._ramp(scope).find_element(By.CSS_SELECTOR, "[data-field=weight]").text

    def step(self, scope: str = "*") -> str:
        """The step in force of a ramp, as it is drawn."""
        return (
            self._ramp(scope).find_element(By.CSS_SELECTOR, "[aria-current=step] .step-weight").text
        )

    def ramp_text(self, scope: str = "*") -> str:
        """All that a ramp's card says."""
        return self._ramp(scope).text

    def commands(self, scope: str = "*") -> list[str]:
        """The commands that a ramp's card proposes."""
        return [
            code.text for code in self._ramp(scope).find_elements(By.CSS_SELECTOR, ".command code")
        ]

    def gates(self, scope: str = "*") -> dict[str, str]:
        """The gates of a ramp: name to verdict ("advance", "wait", "rollback")."""
        return {
            gate.get_attribute("data-gate") or "": gate.get_attribute("data-verdict") or ""
            for gate in self._ramp(scope).find_elements(By.CSS_SELECTOR, "[data-gate]")
        }

    def banners(self) -> dict[str, str]:
        """The banners: kind ("manifest", "override", "lost", "proxy") to text."""
        return {
            one.get_attribute("data-banner") or "": one.text for one in self.all("[data-banner]")
        }

    def figure(self, name: str, arm: str = "both") -> str:
        """A tile's figure: "calls", "failed", "p99", "differing" or "cpu"."""
        return self.one(f'[data-figure="{name}"] [data-arm="{arm}"]').text

    def methods(self) -> dict[str, MethodRow]:
        """The methods table by "/package.Service/Method"."""
        rows = self.chrome.execute_script(_READ_METHODS)
        return {
            row["method"]: MethodRow(
                **{
                    **row,
                    "calls": {arm: _integer(text) for arm, text in row["calls"].items()},
                    "compared": _integer(row["compared"]),
                }
            )
            for row in rows
        }

    def differences(self) -> list[DifferenceRow]:
        """The differences table."""
        return [DifferenceRow(**row) for row in self.chrome.execute_script(_READ_DIFFERENCES)]

    def open_difference(self, path: str) -> WebElement:
        """Opens the row of a field, waits for an example, and gives the row."""
        row = next(
            one
            for one in self.all("table.differences tbody")
            if one.get_attribute("data-path") == path
        )
        self._open(row)
        self.wait(
            lambda _: bool(row.find_elements(By.CSS_SELECTOR, ".examples li")),
            f"an example of {path}",
        )
        return row

    def operations(self) -> dict[str, str]:
        """The operations table: key to finding."""
        return {
            row.get_attribute("data-operation") or "": row.find_element(
                By.CSS_SELECTOR, "[data-field=finding]"
            ).text
            for row in self.all("[data-operation]")
        }

    def traces(self) -> list[str]:
        """Ids of the trace pairs listed."""
        return [pair.get_attribute("data-trace") or "" for pair in self.all("[data-trace]")]

    def open_trace(self, trace_id: str) -> WebElement:
        """Opens a trace pair and gives it."""
        pair = self.one(f'[data-trace="{trace_id}"]')
        self._open(pair)
        return pair

    def decisions(self) -> list[str]:
        """The decision log, as shown."""
        return [line.text for line in self.all("[data-decision]")]

    def open_decision(self, decision: int) -> str:
        """Opens what a decision was drawn from; the whole line as shown."""
        line = self.one(f'[data-decision="{decision}"]')
        self._open(line)
        return line.text

    def processes(self) -> dict[str, dict[str, str]]:
        """CPU and memory: "cpuCores", "memoryBytes", … to legacy, candidate and ratio."""
        return {
            row.get_attribute("data-process") or "": {
                cell.get_attribute("data-arm") or "": cell.text
                for cell in row.find_elements(By.CSS_SELECTOR, "[data-arm]")
            }
            for row in self.all("[data-process]")
        }

    def proxies(self) -> list[str]:
        """The proxies, as shown."""
        return [proxy.text for proxy in self.all(".proxy")]

    def toggle_dark(self) -> bool:
        """Presses the theme button; true if the page is dark now."""
        button = self.one("#theme")
        button.click()
        return button.get_attribute("aria-pressed") == "true"

    def console_errors(self) -> list[str]:
        """What the browser complained of since the last call, violations of the policy included."""
        return [
            f"{entry['level']}: {entry['message']}"
            for entry in self.chrome.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] in ("SEVERE", "WARNING")
        ]

    def contrast(self, selector: str) -> dict[str, float]:
        """The contrast (WCAG 2, 1 to 21) of each text that is shown and matches."""
        found: dict[str, float] = self.chrome.execute_script(_CONTRAST, selector)
        return found

    def overflow_px(self) -> int:
        """By how much the page is wider than the window."""
        root = "document.documentElement"
        return int(self.chrome.execute_script(f"return {root}.scrollWidth - {root}.clientWidth"))

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        """Writes a PNG of the whole page, or of what is in the window."""
        if whole:
            height = self.chrome.execute_script("return document.documentElement.scrollHeight")
            width = self.chrome.execute_script("return window.innerWidth")
            self.resize(width, height)
        self.chrome.save_screenshot(str(file))

    def text(self, selector: str) -> str:
        """All text inside the element that matches, seen or not."""
        return self.one(selector).get_attribute("textContent") or ""

    def one(self, selector: str) -> WebElement:
        """The element that matches."""
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """All elements that match."""
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def _field(self, name: str) -> str:
        return self.one(f"[data-field={name}]").text

    def _ramp(self, scope: str) -> WebElement:
        return self.one(f'.ramp[data-scope="{scope}"]')

    def _open(self, element: WebElement) -> None:
        button = element.find_element(By.CSS_SELECTOR, ".disclosure")
        if button.get_attribute("aria-expanded") == "false":
            self.chrome.execute_script("arguments[0].click()", button)


def _integer(text: str) -> int:
    return int(re.sub(r"\D", "", text) or "0")


_READ_METHODS = """
return [...document.querySelectorAll("table.methods tbody")].map((row) => {
  const text = (field) => row.querySelector(`[data-field="${field}"]`).textContent;
  const both = (field) => Object.fromEntries(["legacy", "candidate"].map((arm) =>
    [arm, row.querySelector(`[data-field="${field}"] [data-arm="${arm}"]`).textContent]));
  return { method: row.dataset.method, weight: text("method-weight"),
    owner: row.querySelector(".method-weight .small-text").textContent, rate: both("rate"),
    calls: both("calls"), failed: both("failed"), p99: both("p99"), compared: text("compared"),
    differing: text("differing") };
});
"""

_READ_DIFFERENCES = """
return [...document.querySelectorAll("table.differences tbody")].map((row) => ({
  path: row.dataset.path, method: row.dataset.method, kind: row.dataset.kind,
  pairs: row.querySelector('[data-field="pairs"]').textContent,
  noisy: row.querySelector('[data-field="noisy"]').textContent.startsWith("noisy"),
}));
"""

_CONTRAST = """
const channel = (byte) => {
  const c = byte / 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
};
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parts = (text) => text.match(/[\\d.]+/g).map(Number);
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const color = parts(getComputedStyle(at).backgroundColor);
    if (color.length < 4 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const found = {};
for (const node of document.querySelectorAll(arguments[0])) {
  const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim() !== "");
  if (!own || node.getClientRects().length === 0 || node.closest(".visually-hidden")) continue;
  const [a, b] = [light(parts(getComputedStyle(node).color)), light(ground(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found[`${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 30)}`] = ratio;
}
return found;
"""
