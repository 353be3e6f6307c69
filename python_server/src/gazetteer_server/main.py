"""The command `gazetteer-server`: parse, build, run, and the exit code."""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence

from gazetteer_server.config import Address, parse_config
from gazetteer_server.domain.errors import StoreUnavailableError
from gazetteer_server.domain.gazetteer import build_gazetteer
from gazetteer_server.logs import set_up_logs
from gazetteer_server.server import CannotListenError, start_server
from gazetteer_server.service import GazetteerService
from gazetteer_server.store import Store, UnusableDatabaseError
from gazetteer_server.telemetry import start_telemetry

_ENDING = frozenset({signal.SIGTERM, signal.SIGINT})

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command until SIGTERM or SIGINT.

    Args:
        argv: The arguments; those of the process if left out.

    Returns:
        The exit code: 0 asked to end, 1 failed, 2 wrong arguments.
    """
    config = parse_config(argv)
    set_up_logs(config.log_level)
    # Blocked here and so in all threads to come, these wait until somebody asks for them. A
    # handler would not do: it runs only when the main thread wakes, and may be missed.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)

    try:
        Store(config.database).check()
        telemetry = start_telemetry(os.environ)
        store = Store(config.database, instrument=telemetry.instrument if telemetry else None)
        gazetteer = build_gazetteer(*store.read_all())
        # The indexes live as long as the process: no collection need look at them again.
        gc.collect()
        gc.freeze()
        service = GazetteerService(gazetteer, store, now_ms=lambda: time.time_ns() // 1_000_000)
        running = start_server(config, service, telemetry)
    except (UnusableDatabaseError, StoreUnavailableError) as error:
        return _fail(
            f"cannot use the database {config.database}: {error}; "
            f"run gazetteer-load --database {config.database}"
        )
    except CannotListenError as error:
        return _fail(f"{error}; choose another address with --listen")

    print(f"listening on {Address(config.listen.host, running.port)}", flush=True)
    signal.sigwait(_ENDING)
    _log.info("draining", extra={"grace_s": config.shutdown_grace_s})
    running.drain(config.shutdown_grace_s)
    if telemetry is not None:
        telemetry.shutdown()
    _log.info("ended")
    return 0


def _fail(message: str) -> int:
    print(f"gazetteer-server: {message}", file=sys.stderr)
    return 1
