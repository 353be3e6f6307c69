"""Channels and operators for services behind Cutover.

`channel` opens a channel with a deadline, a sticky key, retries and traces; `Operator` speaks to
the control plane. `cutover.aio` has both for asyncio, `cutover.telemetry` sets OpenTelemetry up.
"""

from cutover import aio
from cutover._config import Retry, StickyKey, Tls
from cutover._operator import Operator
from cutover._sync import channel
from cutover.exceptions import CutoverError, DeadlineExceeded, Refused, Unavailable

__all__ = [
    "CutoverError",
    "DeadlineExceeded",
    "Operator",
    "Refused",
    "Retry",
    "StickyKey",
    "Tls",
    "Unavailable",
    "aio",
    "channel",
]
