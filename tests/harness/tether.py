"""Runs a command that dies with its parent: `tether.py PARENT_PID COMMAND...`.

A wrapper rather than a `preexec_fn`: code between fork and exec deadlocks in a process that has
threads, and gRPC has them always. The command keeps the process id.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent and becomes the command."""
    parent, *command = sys.argv[1:]
    # SIGKILL, since a process that is stopped (SIGSTOP) hears nothing else.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):
        raise SystemExit("the parent is gone")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
