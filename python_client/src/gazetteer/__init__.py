"""The gazetteer: place names of the world, found by name or by position.

`GazetteerClient` is for threads, `AsyncGazetteerClient` for asyncio; `gazetteer.v1` has the
messages and stubs, generated from the contract.
"""

from gazetteer._aio import AsyncGazetteerClient
from gazetteer._client import GazetteerClient
from gazetteer._requests import Metadata, Position
from gazetteer.exceptions import (
    Cancelled,
    DeadlineExceeded,
    GazetteerError,
    InvalidRequest,
    Overloaded,
    PlaceNotFound,
    Unavailable,
    Violation,
)

__all__ = [
    "AsyncGazetteerClient",
    "Cancelled",
    "DeadlineExceeded",
    "GazetteerClient",
    "GazetteerError",
    "InvalidRequest",
    "Metadata",
    "Overloaded",
    "PlaceNotFound",
    "Position",
    "Unavailable",
    "Violation",
]
