"""Notices that the container is to end while it still starts: until it has, s6 tells no service.

What shows is that s6-rc waits to bring the services down.
"""

import os
import sys
import threading
import time
from pathlib import Path

STATUS = 143  # as of a process that SIGTERM ended


def watch() -> None:
    """From now on ends this process when the container is to end."""
    threading.Thread(target=_watch, name='stopping', daemon=True).start()


def _watch() -> None:
    while not wanted():
        time.sleep(0.25)
    print('[netbox] asked to stop: the start ends here', file=sys.stderr, flush=True)
    os._exit(STATUS)  # what PostgreSQL had in hand, it rolls back


def wanted(proc: Path = Path('/proc')) -> bool:
    """Whether s6-rc has been told to bring all services down."""
    for process in proc.glob('[0-9]*/cmdline'):
        try:
            program, *options = process.read_bytes().split(b'\0')
        except OSError:
            continue  # it has ended
        if program.rpartition(b'/')[2] == b's6-rc' and b'-bda' in options:
            return True
    return False
