"""Waiting for what has no signal of its own."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_INTERVAL_S = 0.02


def wait_until(probe: Callable[[], T], *, timeout: float = 10.0, what: str = "") -> T:
    """Asks again and again until the answer is true; gives it.

    Raises:
        AssertionError: It was not in time; names the last answer.
    """
    deadline = time.monotonic() + timeout
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or probe}; last: {answer!r}")
        time.sleep(_INTERVAL_S)
    return answer
