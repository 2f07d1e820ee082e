"""The third service: loads NetBox once, then runs the web server and the background workers as forks of it.

One load instead of one a process makes the start several times faster and the
container much smaller. This process keeps to itself: it has no threads and no
connections, waits for signals, and starts a fork again when it ended.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from netbox_container import configuration, health, metrics, snapshot, stopping, web, worker

GRACE = 8.5  # seconds the forks get to finish their requests and jobs after SIGTERM
SETTLED = 10  # a fork that ran this long may be started again at once
LONGEST_PAUSE = 30
READY_FD = 3
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


@dataclass
class Process:
    """A fork that is kept running."""

    name: str
    run: Callable[[], None]
    early: bool = False  # people wait for it: the others start once it answers
    ready: bool = False
    pid: int = 0
    started: float = 0  # monotonic
    due: float = 0  # when to start it (monotonic), while pid is 0
    pause: float = 1


def main() -> None:
    values = configuration.environ_values()
    settings = configuration.load(os.environ)
    tie_forks()
    filling = fill(settings) if snapshot.EMPTY.exists() else 0
    leave = stopping.watch()
    if settings.get('METRICS_ENABLED'):
        metrics.share()
    try:
        application, question = load(values, filling)
    except Exception as error:
        if problem := configuration.improper(error):
            configuration.end(f'configuration: {problem}', status=os.EX_CONFIG)  # another try would change nothing
        raise
    leave()  # forks and threads do not go together
    processes, doors = [], []
    if values.NETBOX_ROLE != 'worker':
        between, routes = web.listen(), web.static()
        try:
            doors = web.doors()
        except web.PortTaken as error:
            configuration.end(str(error), status=os.EX_CONFIG)
        processes.append(Process('web', lambda: web.serve(application, values, between), early=True))
        processes.append(Process('nginx', lambda: web.front(routes, doors, question), early=True))
    if values.NETBOX_ROLE != 'web':
        numbers = range(1, values.RQ_WORKERS + 1)
        processes += [Process(f'worker-{number}' if number > 1 else 'worker', worker.work) for number in numbers]
    Keeper(processes, question, doors).keep()


def load(values: SimpleNamespace, filling: int = 0):
    """NetBox's WSGI application, warm, and the question that shows whether it answers.

    Nothing asks the database before the process that fills it, if there is one, has ended.
    """
    gc.disable()  # start-up makes no garbage worth a fifth of its time
    from django.conf import settings

    with contextlib.nullcontext() if settings.PLUGINS else graphql_on_demand():
        from netbox.wsgi import application

        importlib.import_module('netbox.urls')
    from django.core.cache import caches
    from django.db import connections

    question = health.Question(
        web.PORT, f'/{settings.BASE_PATH}login/', health.host_of(settings.ALLOWED_HOSTS), settings.SESSION_COOKIE_NAME
    )
    if filling:
        wait_for(filling)
    make_superuser(values)
    for variable in ('SUPERUSER_PASSWORD', 'SUPERUSER_API_TOKEN'):
        forget(variable)  # nothing that follows needs it
    web.warm(application, question)
    connections.close_all()
    caches.close_all()
    gc.collect()
    gc.freeze()  # or the collector would unshare the pages that the forks share
    gc.enable()
    return application, question


def fill(settings: Mapping[str, Any]) -> int:
    """Begins to fill the empty database, in a process whose number it returns."""
    from netbox_container import prepare

    return fork('fill', lambda: prepare.fill(settings))


def wait_for(filling: int) -> None:
    """Waits for the process that fills the database; when that failed, the start ends."""
    code = os.waitstatus_to_exitcode(os.waitpid(filling, 0)[1])
    if code < 0:
        configuration.end(
            f'filling the database was killed by {signal.Signals(-code).name}: it is as it was; give the container more memory, or start it again',
            status=os.EX_CONFIG,
        )
    if code:
        sys.exit(os.EX_CONFIG)  # it has said why; another try would change nothing


@contextlib.contextmanager
def graphql_on_demand() -> Iterator[None]:
    """Has a web process make the GraphQL schema when it is first asked for it.

    That takes as long as all the rest of NetBox, and most installations never ask.
    With plugins the schema is made at the start, where a mistake in their part is seen.
    """
    from django.utils.functional import SimpleLazyObject

    name = 'netbox.graphql.schema'
    sys.modules[name] = SimpleNamespace(schema=SimpleLazyObject(lambda: importlib.import_module(name).schema))
    try:
        yield
    finally:
        del sys.modules[name]


def make_superuser(values: SimpleNamespace) -> None:
    """Makes the superuser and the token that are not there yet. Here, because here Django is loaded anyway."""
    from django.contrib.auth import get_user_model
    from django.db import IntegrityError

    if values.SKIP_SUPERUSER:
        return
    users, name = get_user_model().objects, values.SUPERUSER_NAME
    with contextlib.suppress(IntegrityError):  # another container was faster
        if values.SUPERUSER_PASSWORD and not users.filter(username=name).exists():
            users.create_superuser(name, values.SUPERUSER_EMAIL, values.SUPERUSER_PASSWORD)
            say(f'made the superuser {name}')
        elif not values.SUPERUSER_PASSWORD and not users.filter(is_superuser=True).exists():
            say('there is no superuser: set SUPERUSER_PASSWORD to have one made')
    user = users.filter(username=name).first()
    if values.SUPERUSER_API_TOKEN and user:
        from users.models import Token

        key, _, secret = values.SUPERUSER_API_TOKEN.removeprefix('nbt_').partition('.')
        with contextlib.suppress(IntegrityError):
            if not Token.objects.filter(key=key).exists():
                Token(user=user, version=2, key=key, token=secret).save()
                say(f'made an API token of {name}')


def forget(variable: str) -> None:
    """Wipes a variable from the environment, from what the kernel shows of it too, for all forks to come."""
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    if value := libc.getenv(variable.encode()):
        ctypes.memset(value, 0, len(ctypes.string_at(value)))
    os.environ.pop(variable, None)


class Keeper:
    """Runs the processes until SIGTERM."""

    def __init__(self, processes: list[Process], question: health.Question, doors: Sequence[socket.socket] = ()):
        self.processes = processes
        self.question = question
        self.doors = doors  # what clients come to; nginx alone has them too
        self.asker = 0  # pid of the fork that waits for the web server to answer
        self.released = False

    def keep(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while True:
            self.start()
            caught = signal.sigtimedwait(_SIGNALS, self.until_due())
            if caught and caught.si_signo != signal.SIGCHLD:
                break
            if not self.released and stopping.wanted():
                self.release()
            self.reap()
            metrics.sweep()
        self.stop()

    def start(self) -> None:
        """Starts what is due."""
        now = time.monotonic()
        for process in self.startable():
            if not process.pid and now >= process.due:
                process.pid, process.started = self.fork(process.name, process.run), now
                if process.name == 'web':
                    self.asker = self.fork('web-ask', self.question.wait)
                else:
                    process.ready = True
        self.report()

    def fork(self, name: str, run: Callable[[], None]) -> int:
        """Runs a function in a fork, from which no door stays open but nginx's."""

        def behind() -> None:
            for door in self.doors:
                door.close()
            run()

        return fork(name, run if name == 'nginx' else behind)

    def startable(self) -> list[Process]:
        """At first the web server alone."""
        early = [process for process in self.processes if process.early]
        return self.processes if self.released or all(process.ready for process in early) else early

    def until_due(self) -> float:
        pauses = [process.due - time.monotonic() for process in self.startable() if not process.pid]
        pauses.append(60.0 if self.released else 0.5)  # a start checks now and then whether to go on
        return max(0.0, min(pauses))

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.asker:
                self.asker = self.fork('web-ask', self.question.wait) if status else 0
                for process in self.processes:
                    if process.name == 'web' and process.pid and not status:
                        process.ready = True
            for process in self.processes:
                if process.pid == pid:
                    self.ended(process, os.waitstatus_to_exitcode(status))

    def ended(self, process: Process, code: int) -> None:
        now, pid = time.monotonic(), process.pid
        pause = 1 if now - process.started >= SETTLED else process.pause
        process.pid, process.ready, process.due, process.pause = 0, False, now + pause, min(pause * 2, LONGEST_PAUSE)
        how = f'was killed by {signal.Signals(-code).name}' if code < 0 else f'ended with status {code}'
        say(f'{process.name} {how}: starting it again in {pause} s')
        if process.name == 'web' and self.asker:
            os.kill(self.asker, signal.SIGKILL)
            self.asker = 0
        if process.name == 'nginx':
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # its own processes, which would keep the port

    def report(self) -> None:
        """Writes the state for the health check, and releases s6 the first time NetBox answers."""
        health.write(self.question, {process.name: process.pid if process.ready else 0 for process in self.processes})
        if not self.released and self.processes[0].ready:
            if self.processes[0].early:
                say(f'serving http on port {self.question.port} at {self.question.path.removesuffix("login/")}')
            self.release()

    def release(self) -> None:
        """Notifies s6, which goes on: with the next service, or with the stop that it was asked for."""
        self.released = True
        with contextlib.suppress(OSError):  # run by hand
            os.write(READY_FD, b'\n')
            os.close(READY_FD)

    def stop(self) -> None:
        """Ends the forks: the web server's own only when nginx has handed on all that came in."""
        deadline = time.monotonic() + GRACE
        running = {process.pid: process.name for process in self.processes if process.pid}
        if self.asker:
            os.kill(self.asker, signal.SIGKILL)
        if self.doors:
            web.shut(self.doors)
        for pid, name in running.items():
            if name == 'nginx':
                os.kill(pid, signal.SIGQUIT)
            elif name != 'web':
                os.kill(pid, signal.SIGTERM)
        draining = True
        while running:
            if draining and 'nginx' not in running.values():
                draining = False
                for pid, name in running.items():
                    if name == 'web':
                        os.kill(pid, signal.SIGTERM)
            left = deadline - time.monotonic()
            if left <= 0 or not signal.sigtimedwait((signal.SIGCHLD,), left):
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                return
            for pid in ended_children():
                running.pop(pid, None)


def ended_children() -> Iterator[int]:
    """The children that have ended so far; they are waited for."""
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            yield pid


def tie_forks() -> None:
    """From now on no fork, and no fork of a fork, outlives the process that made it, however that one ends."""
    prctl = ctypes.CDLL(None).prctl
    parent = 0

    def before() -> None:
        nonlocal parent
        parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was faster
            os.kill(os.getpid(), signal.SIGTERM)

    os.register_at_fork(before=before, after_in_child=in_child)


def fork(name: str, run: Callable[[], None]) -> int:
    """Runs a function in a fork and returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f'netbox-{name}'.encode())  # what ps shows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def say(text: str) -> None:
    print(f'[netbox] {text}', file=sys.stderr, flush=True)


if __name__ == '__main__':
    main()
