"""Notices that the container is to end while it still starts: until it has, s6 notifies no service.

What shows is that s6-rc waits to bring the services down.
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

STATUS = 143  # as of a process that SIGTERM ended


def watch() -> Callable[[], None]:
    """From now on ends this process when the container is stopped, until the function that it returns is called."""
    enough = threading.Event()
    thread = threading.Thread(target=_watch, args=(enough,), name='stopping', daemon=True)
    thread.start()

    def leave() -> None:
        enough.set()
        thread.join()

    return leave


def _watch(enough: threading.Event) -> None:
    while not wanted():
        if enough.wait(0.25):
            return
    print('[netbox] asked to stop: the start ends here', file=sys.stderr, flush=True)
    os._exit(STATUS)  # what PostgreSQL had in hand, it rolls back


def wanted(proc: Path = Path('/proc')) -> bool:
    """Whether s6-rc has been asked to bring all services down."""
    for process in proc.glob('[0-9]*/cmdline'):
        try:
            program, *options = process.read_bytes().split(b'\0')
        except OSError:
            continue  # it has ended
        if program.rpartition(b'/')[2] == b's6-rc' and b'-bda' in options:
            return True
    return False
