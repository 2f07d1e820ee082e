"""Whether the container works: the log-in page answers and every process runs. Exits 1 with one line when not."""

import http.client
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path('/run/netbox/health.json')  # kept up to date by serve


@dataclass(frozen=True)
class Question:
    """What to ask the web server: where it listens, the path of its log-in page, a host name it accepts."""

    port: int
    path: str
    host: str
    cookie: str = 'sessionid'  # name of the one that carries a session

    def headers(self) -> dict[str, str]:
        """What goes with the question."""
        return {
            'Host': self.host,
            'X-Forwarded-Proto': 'https',  # as from a proxy that ends TLS: a redirect to https is no answer
            'Cookie': f'{self.cookie}=health-check',  # looked for in the database, which the page alone does without
        }

    def ask(self, timeout: float) -> str:
        """What is wrong, in a line; empty when nothing is."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)
        try:
            connection.request('GET', self.path, headers=self.headers())
            status = connection.getresponse().status
            return '' if status < 400 else f'{self.path} answers {status}'
        except (OSError, http.client.HTTPException) as error:
            return f'{self.path}: {error or type(error).__name__}'
        finally:
            connection.close()

    def wait(self) -> None:
        """Asks until nothing is wrong."""
        while self.ask(timeout=60):
            time.sleep(0.1)


def host_of(allowed: list[str]) -> str:
    """A host name that is allowed."""
    for host in allowed:
        if host != '*':
            return host.removeprefix('.')
    return 'localhost'


def write(question: Question, pids: dict[str, int], file: Path = FILE) -> None:
    """Keeps for the health check what to ask and the process of each name, 0 for one that does not run."""
    draft = file.with_suffix('.new')
    draft.write_text(json.dumps({'question': asdict(question), 'pids': pids}))
    draft.rename(file)


def problems(file: Path = FILE) -> list[str]:
    """What is wrong, a line each; empty when nothing is."""
    try:
        state = json.loads(file.read_text())
    except FileNotFoundError:
        return ['NetBox has not been started yet']
    found = [f'{name} is not running' for name, pid in state['pids'].items() if not pid or not _runs(pid)]
    if 'web' in state['pids']:
        problem = Question(**state['question']).ask(timeout=20)
        if problem:
            found.append(problem)
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == '__main__':
    wrong = problems()
    if wrong:
        print('; '.join(wrong))
        sys.exit(1)
