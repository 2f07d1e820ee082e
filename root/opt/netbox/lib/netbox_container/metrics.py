"""Adds the metrics of the web server's processes up: each keeps its own in files, and any of them answers with the sums."""

import os
from pathlib import Path

FOLDER = Path('/run/netbox/metrics')
VARIABLE = 'PROMETHEUS_MULTIPROC_DIR'


def share(folder: Path = FOLDER) -> None:
    """Empties the folder for the processes to come. Call it before anything loads prometheus_client."""
    (folder / 'jobs').mkdir(parents=True, exist_ok=True)
    for file in folder.rglob('*.db'):
        file.unlink()
    os.environ[VARIABLE] = str(folder)


def leave() -> None:
    """Takes this process and its forks out of the sums: a background worker makes a process a job, and so files without end."""
    if VARIABLE in os.environ:
        os.environ[VARIABLE] = str(FOLDER / 'jobs')


def sweep(folder: Path = FOLDER, proc: Path = Path('/proc')) -> None:
    """Removes what processes that have ended left behind: their part of what is now, not of what has been counted."""
    for pattern in ('gauge_live*.db', 'jobs/*.db'):
        for file in folder.glob(pattern):
            if not (proc / file.stem.rpartition('_')[2]).exists():
                file.unlink(missing_ok=True)
