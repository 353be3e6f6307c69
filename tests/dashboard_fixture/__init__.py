"""A control plane that plays recorded states: for what is hard to reach live, and for looking.

`python -m dashboard_fixture --story rolled_back` (from `tests/`) serves the dashboard with it.
"""

from dashboard_fixture.server import CONTENT_SECURITY_POLICY, Playback
from dashboard_fixture.stories import STORIES, Story
from dashboard_fixture.strings import HOSTILE

__all__ = ["CONTENT_SECURITY_POLICY", "HOSTILE", "STORIES", "Playback", "Story"]
