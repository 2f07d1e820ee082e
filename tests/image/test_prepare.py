"""What is promised of the start: what a database holds is understood, a stop is noticed, modes and metrics are kept in order."""

import io
import os
import stat
import tempfile
import unittest
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from netbox_container import check, configuration, environment, metrics, migrations, stopping, worker


class Migrations(unittest.TestCase):
    known = {('dcim', '0001_squashed_0130'), ('dcim', '0228_last'), ('ipam', '0090_last'), ('auth', '0012_last')}

    def test_those_of_a_newer_release_are_noticed(self):
        self.assertEqual(migrations.newer(self.known | {('dcim', '0229_next'), ('auth', '0013_next')}, self.known), ['auth.0013_next', 'dcim.0229_next'])

    def test_those_that_have_been_squashed_since_are_nothing_new(self):
        self.assertEqual(migrations.newer(self.known | {('dcim', '0003_auto_20160628_1721')}, self.known), [])

    def test_those_of_plugins_are_their_own_business(self):
        self.assertEqual(migrations.newer(self.known | {('my_plugin', '9999_ever')}, self.known), [])

    def test_a_release_that_brings_none_may_be_left_again(self):
        self.assertEqual(migrations.newer(self.known, self.known), [])

    def test_a_database_that_holds_part_of_what_was_squashed_is_too_old(self):
        squashed = [('dcim', '0130_sitegroup'), ('dcim', '0134_interface'), ('dcim', '0159_paths')]
        disk = {('dcim', '0130_squashed_0159'): SimpleNamespace(replaces=squashed), ('dcim', '0160_next'): SimpleNamespace(replaces=[])}
        self.assertEqual(migrations.missing(disk, set(squashed)), [])
        self.assertEqual(migrations.missing(disk, set()), [])
        self.assertEqual(migrations.missing(disk, set(squashed[:1])), squashed[1:])
        # One whose parts are still there can be gone through part by part, as plugins often have it.
        parts = {key: SimpleNamespace(replaces=[]) for key in squashed}
        self.assertEqual(migrations.missing(disk | parts, set(squashed[:1])), [])

    def test_the_release_to_go_through_is_one_that_can(self):
        self.assertEqual(migrations.through({('dcim', '0130_sitegroup')}), '3.7')
        self.assertEqual(migrations.through({('dcim', '0122_standardize_name_length')}), '2.11, and then 3.7')


    def test_each_that_is_applied_is_counted(self):
        said = []
        report = migrations.progress(2, said.append)
        report('render_start')
        for migration in ('dcim.0001_initial', 'ipam.0001_initial'):
            report('apply_start', migration)
            report('apply_success', migration)
        self.assertEqual(said, ['migration 1 of 2: dcim.0001_initial', 'migration 2 of 2: ipam.0001_initial'])


class Stopping(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.proc = Path(folder.name)

    def process(self, pid, *argv):
        (self.proc / pid).mkdir()
        (self.proc / pid / 'cmdline').write_bytes(b''.join(word.encode() + b'\0' for word in argv))

    def test_only_what_brings_everything_down_counts(self):
        self.process('17', 's6-rc', '-v2', '-bup', '-t', '0', 'change', 'top')
        self.process('18', 'cat', 's6-rc', '-bda')
        self.process('19')
        self.assertFalse(stopping.wanted(self.proc))
        self.process('20', '/command/s6-rc', '-v2', '-bda', 'change')
        self.assertTrue(stopping.wanted(self.proc))


class Modes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)

    def check(self):
        said = io.StringIO()
        with (
            mock.patch.object(configuration, 'HOME', self.home),
            mock.patch.dict(os.environ, {'ALLOWED_HOST': 'a.example', 'DB_USER': 'netbox'}),
            redirect_stderr(said),
        ):
            check.main()
        return said.getvalue()

    def test_files_that_hold_secrets_are_closed_to_others(self):
        (self.home / 'configuration.d').mkdir()
        (self.home / 'keys').mkdir()
        files = [self.home / name for name in ('configuration.py', 'ldap_config.py', 'configuration.d/10.py', 'keys/secret_key')]
        for file in files:
            file.write_text(f'# {"x" * environment.KEY_LENGTH}\n')
            file.chmod(0o664)
        self.check()
        self.assertEqual([oct(stat.S_IMODE(file.stat().st_mode)) for file in files], ['0o600'] * len(files))
        self.assertEqual(stat.S_IMODE((self.home / 'keys').stat().st_mode), 0o700)

    def test_one_that_cannot_be_closed_is_named_in_a_line_and_used(self):
        file = self.home / 'configuration.py'
        file.write_text('A = 1\n')
        file.chmod(0o644)
        with mock.patch.object(Path, 'chmod', side_effect=OSError(30, 'Read-only file system')):
            said = self.check()
        self.assertEqual(said.count(f'{file} can be read by others, and its mode cannot be changed: Read-only file system\n'), 1, said)


    def test_who_started_it_as_a_user_reads_what_to_do_instead(self):
        as_root, as_user = self.home / 'of-root', self.home / 'of-a-user'
        for folder, user in ((as_root, 0), (as_user, 1000)):
            folder.mkdir()
            os.chown(folder, user, user)
        self.assertEqual(check.remedy(self.home, as_root), f'check the volume at {self.home}')
        self.assertEqual(check.remedy(self.home, self.home / 'nowhere'), f'check the volume at {self.home}')
        said = check.remedy(self.home, as_user)
        self.assertIn(f'give {self.home} to user 1000', said)
        self.assertIn('set PUID and PGID', said)


class Warnings(Modes):
    def test_tasks_and_cache_in_one_redis_database_are_one_line(self):
        for more, times in (({}, 0), ({'REDIS_DB_TASK': '1'}, 1), ({'REDIS_DB_TASK': '1', 'REDIS_CACHE_HOST': 'other'}, 0)):
            with mock.patch.dict(os.environ, more):
                said = self.check()
            self.assertEqual(said.count('REDIS_DB_TASK and REDIS_DB_CACHE are both 1: '), times, said)

    def test_workers_of_another_instance_are_known_by_their_names(self):
        ours, theirs = ({'SECRET_KEY': key * environment.KEY_LENGTH} for key in 'ab')
        instance = configuration.instance(ours)
        names = {worker.name_of(instance), worker.name_of(configuration.instance(theirs)), '0123456789abcdef' * 2}
        self.assertEqual(worker.strangers(names, instance), 1)
        self.assertEqual(worker.strangers(names, configuration.instance(theirs)), 1)


class Improper(unittest.TestCase):
    def test_only_what_is_wrong_with_the_settings_is_told_without_a_traceback(self):
        kind = type('ImproperlyConfigured', (Exception,), {})
        self.assertEqual(configuration.improper(kind('SECRET_KEY must be\n  longer')), 'SECRET_KEY must be longer')
        self.assertEqual(configuration.improper(ValueError('ImproperlyConfigured')), '')


class Metrics(unittest.TestCase):
    def test_nothing_is_left_of_an_earlier_life_and_nothing_of_now_from_the_dead(self):
        with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ):
            folder = Path(name) / 'metrics'
            (folder / 'jobs').mkdir(parents=True)
            (folder / 'counter_7.db').touch()
            metrics.share(folder)
            self.assertEqual(os.environ['PROMETHEUS_MULTIPROC_DIR'], str(folder))
            self.assertEqual(list(folder.rglob('*.db')), [])

            proc = Path(name) / 'proc'
            (proc / '8').mkdir(parents=True)
            for file in ('counter_8', 'counter_9', 'gauge_livesum_8', 'gauge_livesum_9', 'gauge_all_9', 'jobs/counter_8', 'jobs/counter_9'):
                (folder / f'{file}.db').touch()
            metrics.sweep(folder, proc)
            self.assertEqual(
                sorted(str(file.relative_to(folder)) for file in folder.rglob('*.db')),
                ['counter_8.db', 'counter_9.db', 'gauge_all_9.db', 'gauge_livesum_8.db', 'jobs/counter_8.db'],
            )


if __name__ == '__main__':
    unittest.main()
