"""What a process tells Prometheus."""

import re
import urllib.request
from dataclasses import dataclass

_TEXT = r'"(?:[^"\\]|\\.)*"'
_SAMPLE = re.compile(
    r"^(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>(?:[^\"}]|" + _TEXT + r")*)\})? (?P<value>\S+)"
)
_LABEL = re.compile(r"(\w+)=(" + _TEXT + ")")


@dataclass(frozen=True)
class Sample:
    """One time series at one moment."""

    name: str
    labels: dict[str, str]
    value: float


class Metrics:
    """All samples of one scrape."""

    def __init__(self, text: str) -> None:
        """Reads the text format of Prometheus or OpenMetrics."""
        self.samples: list[Sample] = []
        for line in text.splitlines():
            if found := _SAMPLE.match(line):
                labels = {k: v[1:-1] for k, v in _LABEL.findall(found["labels"] or "")}
                self.samples.append(Sample(found["name"], labels, float(found["value"])))

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name whose labels include those given; 0 of none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def scrape(address: str) -> Metrics:
    """Reads `/metrics` of HOST:PORT."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        return Metrics(response.read().decode())
