"""Serves the dashboard with a story until it is interrupted."""

import argparse
import signal

from dashboard_fixture import STORIES, Playback


def main() -> None:
    """Parses the arguments and serves."""
    parser = argparse.ArgumentParser(prog="dashboard_fixture", description=__doc__)
    parser.add_argument("--story", choices=sorted(STORIES), default="progressing")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Playback(options.story, every_s=1.0, port=options.port) as playback:
        print(f"dashboard on {playback.url}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
