"""What operators are promised about the processes: kept running, logged, ended in order. Real forks, no NetBox."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock
from pathlib import Path

from netbox_container import health, snapshot, web

QUESTION = health.Question(8000, '/inner/login/', 'netbox.test')
PROGRAM = """
import http.server, os, signal, sys, time
from pathlib import Path
from netbox_container import health, serve
health.write.__defaults__ = (Path(sys.argv[1]),)
serve.tie_forks()
def web():
    server = http.server.HTTPServer(('127.0.0.1', port), http.server.SimpleHTTPRequestHandler)
    if os.fork() == 0:
        time.sleep(600)
    server.serve_forever()
def worker():
    time.sleep(600)
os.chdir(sys.argv[2])
import socket
with socket.socket() as s:
    s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
serve.Keeper([serve.Process('web', web), serve.Process('worker', worker)], health.Question(port, '/', 'localhost')).keep()
"""


class Kept(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = Path(folder.name) / 'health.json'
        self.errors = open(Path(folder.name) / 'errors', 'w+')
        self.addCleanup(self.errors.close)
        self.keeper = subprocess.Popen(
            [sys.executable, '-c', PROGRAM, self.state, folder.name], stderr=self.errors, env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)}
        )
        self.addCleanup(self.keeper.kill)
        self.healthy()

    def healthy(self):
        self.until(lambda: self.state.exists() and not health.problems(self.state))
        return json.loads(self.state.read_text())['pids']

    def until(self, done, seconds=20):
        deadline = time.monotonic() + seconds
        while not done():
            self.assertLess(time.monotonic(), deadline, self.log())
            time.sleep(0.05)

    def log(self):
        return Path(self.errors.name).read_text()

    def descendants(self):
        children = {}
        for stat in Path('/proc').glob('[0-9]*/stat'):
            try:
                pid, _, rest = stat.read_text().partition(' ')
            except OSError:
                continue
            children.setdefault(int(rest.rpartition(')')[2].split()[1]), []).append(int(pid))
        found, todo = [], [self.keeper.pid]
        while todo:
            below = children.get(todo.pop(), [])
            todo += below
            found += below
        return found

    def test_a_killed_process_is_started_again_and_logged(self):
        for name in ('web', 'worker'):
            before = self.healthy()
            os.kill(before[name], signal.SIGKILL)
            self.until(lambda: self.healthy()[name] != before[name])
            self.assertIn(f'{name} was killed by SIGKILL: starting it again in', self.log())

    def test_a_dead_process_shows_in_the_health_check(self):
        os.kill(self.healthy()['worker'], signal.SIGKILL)
        self.until(lambda: 'worker is not running' in health.problems(self.state))

    def test_sigterm_ends_everything_in_good_order(self):
        pids = self.descendants()
        self.assertGreaterEqual(len(pids), 3)
        self.keeper.terminate()
        self.assertEqual(self.keeper.wait(10), 0)
        self.until(lambda: not any(running(pid) for pid in pids))

    def test_nothing_outlives_a_killed_keeper(self):
        pids = self.descendants()
        self.keeper.kill()
        self.keeper.wait()
        self.until(lambda: not any(running(pid) for pid in pids))


def running(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


class Health(unittest.TestCase):
    def test_a_container_that_has_not_started_is_not_healthy(self):
        self.assertEqual(health.problems(Path('/nonexistent')), ['NetBox has not been started yet'])

    def test_the_question_uses_a_host_that_is_allowed(self):
        self.assertEqual(health.host_of(['*']), 'localhost')
        self.assertEqual(health.host_of(['*', 'a.example']), 'a.example')
        self.assertEqual(health.host_of(['.b.example']), 'b.example')


class Web(unittest.TestCase):
    def test_netbox_learns_who_asks_and_how_nginx_said_so_is_kept_from_it(self):
        seen = []
        web.with_client(lambda environ, start: seen.append(environ))({'REMOTE_ADDR': '', 'HTTP_CONTAINER_PEER': '192.0.2.1'}, None)
        self.assertEqual(seen, [{'REMOTE_ADDR': '192.0.2.1'}])

    def test_the_socket_is_for_its_owner_alone_and_outlives_an_older_one(self):
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):
                with web.listen(Path(folder)):
                    self.assertEqual((Path(folder) / 'web.sock').stat().st_mode & 0o777, 0o700)

    def test_a_path_cannot_end_the_word_it_stands_in(self):
        self.assertEqual(web.quoted('/a "b\\c;{}/'), '"/a \\"b\\\\c;{}/"')

    def test_files_of_a_plugin_come_before_those_of_netbox(self):
        text = web.configuration({'/static/': Path('/all'), '/static/plugin/': Path('/theirs')}, [], QUESTION, Path('/run'))
        self.assertIn('location "/static/" { alias "/all/"; }', text)
        self.assertIn('location "/static/plugin/" { alias "/theirs/"; }', text)
        self.assertEqual(text.count('{'), text.count('}'))

    def test_an_orchestrator_asks_for_the_log_in_page_as_the_health_check_does(self):
        text = web.configuration({}, [], QUESTION, Path('/run'))
        ready = text[text.index('location = /ready {'):]
        ready = ready[:ready.index('}')]
        self.assertIn('proxy_pass http://unix:/run/web.sock:/inner/login/;', ready)
        for name, value in QUESTION.headers().items():
            self.assertIn(f'proxy_set_header {name} "{value}";', ready)

    def test_no_more_files_are_asked_for_than_are_allowed(self):
        with mock.patch('resource.getrlimit', return_value=(256, 512)):
            text = web.configuration({}, [], QUESTION, Path('/run'))
        self.assertIn('worker_rlimit_nofile 512;', text)
        self.assertIn('worker_connections 256;', text)

    def test_nginx_listens_where_doors_are(self):
        doors = web.doors(port=0)
        self.addCleanup(lambda: [door.close() for door in doors])
        port = doors[0].getsockname()[1]
        text = web.configuration({}, doors, QUESTION, Path('/run'))
        self.assertIn(f'listen 0.0.0.0:{port};', text)
        self.assertEqual(f'listen [::]:{port};' in text, len(doors) == 2)
        self.assertEqual({os.get_blocking(door.fileno()) for door in doors}, {False}, 'nginx would wait in the first door for ever')

    def test_a_port_that_is_still_taken_is_waited_for(self):
        before = web.doors(port=0)
        port = before[0].getsockname()[1]
        for number, door in enumerate(before):
            threading.Timer(0.3 + number * 0.3, door.close).start()
        for door in web.doors(port):
            door.close()
        with socket.create_server(('0.0.0.0', 0)) as taken:
            port = taken.getsockname()[1]
            with self.assertRaisesRegex(web.PortTaken, f'^port {port} is taken by another program'):
                web.doors(port, patience=0.2)

    def test_whoever_stands_at_the_door_when_it_is_shut_is_let_in_and_nobody_after(self):
        self.shut(ConnectionRefusedError, user=65534)  # as NetBox, which is not root

    def test_a_door_is_shut_on_an_older_kernel_too(self):
        if os.geteuid():
            self.skipTest('the newest kernels let root alone filter TCP')
        with mock.patch.object(web, '_SO_BINDTOIFINDEX', 0xFFFF):
            self.shut(TimeoutError)  # there is no answer

    def shut(self, late_error, user=0):
        doors = web.doors(port=0)
        ours = [os.dup(door.fileno()) for door in doors]  # as nginx has them
        for family, address, fd in zip((socket.AF_INET, socket.AF_INET6), ('127.0.0.1', '::1'), ours):
            with socket.socket(fileno=fd) as door:
                place = (address, door.getsockname()[1])
                waiting = [socket.create_connection(place, timeout=5) for _ in range(20)]
                shutting = threading.Thread(target=web.shut, args=([doors.pop(0)], 0, 5))
                us = os.geteuid()
                os.seteuid(us or user)
                shutting.start()
                time.sleep(0.2)
                os.seteuid(us)
                self.assertTrue(shutting.is_alive(), 'it does not wait')
                late = socket.socket(family)
                late.settimeout(0.3)
                with late, self.assertRaises(late_error):
                    late.connect(place)
                for client in waiting:
                    let_in, _ = door.accept()
                    with client, let_in:
                        client.sendall(b'?')
                        self.assertEqual(let_in.recv(1), b'?')
                        let_in.sendall(b'!')
                        self.assertEqual(client.recv(1), b'!')
                shutting.join(timeout=5)
                self.assertFalse(shutting.is_alive(), 'it waits for nobody')
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(place, timeout=5)


class Snapshot(unittest.TestCase):
    def test_it_is_made_for_any_server_and_any_moment(self):
        dump = [
            '\\restrict abc\n', 'SET transaction_timeout = 0;\n', 'SET row_security = off;\n', '\n', '-- kept: may be a function\'s\n',
            "COMMENT ON EXTENSION ltree IS 'x';\n", "(1, '2026-11-23 20:08:59.4+00', 'CPU', NULL)\n",
            "('2a7edc60-e3f6-400e-948f-f4d940ade03b', 'CPU')\n", '\\unrestrict abc\n',
        ]  # fmt: skip
        self.assertEqual(
            list(snapshot.portable(dump)),
            ['SET row_security = off;\n', '\n', "-- kept: may be a function's\n", "(1, now(), 'CPU', NULL)\n", "(gen_random_uuid(), 'CPU')\n"],
        )

    def test_it_lists_which_migrations_it_holds(self):
        rows = ["\t(1, 'core', '0001_initial', now())", "\t(2, 'dcim', '0002_more', now())"]
        script = f'INSERT INTO public.django_migrations VALUES\n{rows[0]},\n{rows[0]};\nINSERT INTO public.django_migrations VALUES\n{rows[1]};\n\n'
        self.assertEqual(snapshot.migrations(script), {('core', '0001_initial'), ('dcim', '0002_more')})
        with self.assertRaises(ValueError):
            snapshot.migrations('')

    def test_it_lists_which_extensions_it_makes(self):
        script = 'SELECT 1;\nCREATE EXTENSION IF NOT EXISTS ltree WITH SCHEMA public;\nCREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;\n'
        self.assertEqual(snapshot.extensions(script), ['ltree', 'uuid-ossp'])

    def test_it_is_a_whole_dump_of_what_was_migrated(self):
        script = (
            'CREATE TABLE public.core_job (\n);\nCREATE TABLE public.django_migrations (\n);\n'
            "INSERT INTO public.django_migrations VALUES\n\t(1, 'core', '0001_initial', now());\n\n--\n-- PostgreSQL database dump complete\n--\n"
        )
        migrated = 'migration core 0001_initial\ntable core_job\ntable django_migrations\n'
        snapshot.check(script, migrated)
        for odd, why in [
            ((script, migrated + 'migration dcim 0001_initial\n'), r"lacks \['migration dcim 0001_initial'\]"),
            ((script, migrated + 'table dcim_site\n'), r"lacks \['table dcim_site'\]"),
            ((script, 'migration core 0001_initial\ntable django_migrations\n'), r"holds \['table core_job'\]"),
            ((script.replace('-- PostgreSQL database dump complete', ''), migrated), 'no end'),
            ((script[:90], migrated), 'no migrations'),
        ]:
            with self.subTest(why), self.assertRaisesRegex(ValueError, why):
                snapshot.check(*odd)


if __name__ == '__main__':
    unittest.main()
