"""The asyncio half of this package: the same names, the same arguments."""

from cutover._aio import channel
from cutover._operator import AsyncOperator as Operator

__all__ = ["Operator", "channel"]
