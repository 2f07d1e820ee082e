"""What operators are promised about the configuration. Needs neither NetBox nor a service."""

import os
import random
import re
import stat
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from netbox_container import configuration, environment, keys

LEAST = {'ALLOWED_HOST': 'netbox.example.com', 'DB_USER': 'netbox'}

# Where NetBox finds the value of each variable that may be any text.
TEXTS = {
    'DB_NAME': lambda s: s['DATABASES']['default']['NAME'],
    'DB_USER': lambda s: s['DATABASES']['default']['USER'],
    'DB_PASSWORD': lambda s: s['DATABASES']['default']['PASSWORD'],
    'REDIS_USERNAME': lambda s: s['REDIS']['tasks']['USERNAME'],
    'REDIS_PASSWORD': lambda s: s['REDIS']['tasks']['PASSWORD'],
    'REDIS_CACHE_USERNAME': lambda s: s['REDIS']['caching']['USERNAME'],
    'REDIS_CACHE_PASSWORD': lambda s: s['REDIS']['caching']['PASSWORD'],
    'REDIS_SSL_CA': lambda s: s['REDIS']['tasks']['CA_CERT_PATH'],
    'REMOTE_AUTH_BACKEND': lambda s: s['REMOTE_AUTH_BACKEND'],
    'REMOTE_AUTH_HEADER': lambda s: s['REMOTE_AUTH_HEADER'],
    'SECRET_KEY': lambda s: s['SECRET_KEY'],
    'API_TOKEN_PEPPER': lambda s: s['API_TOKEN_PEPPERS'][1],
}


class WithHome(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        (self.home / 'keys').mkdir()
        (self.home / 'configuration.d').mkdir()

    def load(self, **environ):
        return configuration.load(LEAST | environ, self.home)

    def mistakes(self, **environ):
        with self.assertRaises(configuration.ConfigurationError) as caught:
            self.load(**environ)
        return list(caught.exception.mistakes)


class Values(WithHome):
    def test_any_text_reaches_netbox_unchanged(self):
        seeded = random.Random(20)
        letters = '\'"\\|&/$ *#%{}[]()`!~^;<>?=+-_.,:@\n\r\tabcXYZ019äßé€漢字🦆\u202e\x01\x7f'
        names = sorted(TEXTS)
        for round in range(10_000):
            length = seeded.choice((1, 2, 7, 60, 60, 60, 60, 5000 if round % 100 == 0 else 60))
            value = ''.join(seeded.choices(letters, k=length))
            name = seeded.choice(names)
            if name in ('SECRET_KEY', 'API_TOKEN_PEPPER'):
                value = value.ljust(environment.KEY_LENGTH, '.')
            self.assertEqual(TEXTS[name](self.load(REDIS_SSL='true', **{name: value})), value, name)

    def test_text_survives_the_environment_of_a_process(self):
        value = '\'"\\|&/$ *#%{}`\nü€漢🦆'
        program = 'import os, sys; from netbox_container import environment as e; sys.stdout.buffer.write(e.read(os.environ)[0].DB_PASSWORD.encode())'
        out = subprocess.run(
            [sys.executable, '-c', program],
            env=LEAST | {'DB_PASSWORD': value, 'PYTHONPATH': os.pathsep.join(sys.path), 'LC_ALL': 'C'},
            capture_output=True,
            check=True,
        )
        self.assertEqual(out.stdout.decode(), value)

    def test_nothing_is_evaluated(self):
        mark = self.home / 'mark'
        code = f'__import__("pathlib").Path({str(mark)!r}).touch()'
        for variable in environment.VARIABLES:
            for value in (code, f'[{code}]', f'{{"a": {code}}}', f'$(touch {mark})', f'`touch {mark}`'):
                environment.read(LEAST | {variable.name: value})
        self.assertFalse(mark.exists())

    def test_an_empty_variable_is_an_unset_one(self):
        values, _ = environment.read(LEAST)
        empty, mistakes = environment.read({v.name: '' for v in environment.VARIABLES} | LEAST)
        self.assertEqual((vars(empty), mistakes), (vars(values), []))

    def test_defaults_are_those_of_the_page(self):
        page = (Path(__file__).parents[2] / 'readme-vars.yml').read_text()
        documented = dict(re.findall(r'env_var: "(\w+)".*?\(default: ([^)]*)\)', page))
        for variable in environment.VARIABLES:
            says = documented.get(variable.name, '')
            if variable.default in ('', [], None):  # then words say what happens, or there is nothing to say
                self.assertNotRegex(says.replace('`[]`', ''), '^`[^`]*`$' if variable.name != 'UMASK' else '^$', variable.name)
            elif variable.name != 'TZ':  # which all images have
                self.assertEqual(says, f'`{variable.default}`', variable.name)

    def test_defaults_reach_netbox(self):
        settings = self.load()
        self.assertEqual(settings['DATABASES']['default']['NAME'], 'netbox')
        self.assertEqual(settings['DATABASES']['default']['HOST'], 'postgres')
        self.assertEqual(settings['DATABASES']['default']['PORT'], '5432')
        for section, database in (('tasks', 0), ('caching', 1)):
            redis = settings['REDIS'][section]
            self.assertEqual((redis['HOST'], redis['PORT'], redis['PASSWORD'], redis['DATABASE']), ('redis', 6379, '', database))
        self.assertEqual(settings['BASE_PATH'], '')
        self.assertIs(settings['REMOTE_AUTH_ENABLED'], False)
        self.assertEqual(settings['REMOTE_AUTH_BACKEND'], 'netbox.authentication.RemoteUserBackend')
        self.assertEqual(settings['REMOTE_AUTH_HEADER'], 'HTTP_REMOTE_USER')
        self.assertIs(settings['REMOTE_AUTH_AUTO_CREATE_USER'], False)
        self.assertEqual(settings['REMOTE_AUTH_DEFAULT_GROUPS'], [])
        self.assertEqual(settings['REMOTE_AUTH_DEFAULT_PERMISSIONS'], {})

    def test_booleans_are_spelled_as_people_do(self):
        for spelling in ('true', 'True', 'YES', 'on', '1', ' y '):
            self.assertIs(self.load(REMOTE_AUTH_ENABLED=spelling)['REMOTE_AUTH_ENABLED'], True, spelling)
        for spelling in ('false', 'No', 'OFF', '0'):
            self.assertIs(self.load(REMOTE_AUTH_ENABLED=spelling)['REMOTE_AUTH_ENABLED'], False, spelling)

    def test_lists_and_mappings_are_json_or_python(self):
        for text in ('["one", "two words"]', "['one', 'two words']", "('one', 'two words')"):
            self.assertEqual(self.load(REMOTE_AUTH_DEFAULT_GROUPS=text)['REMOTE_AUTH_DEFAULT_GROUPS'], ['one', 'two words'])
        for text in ('{"dcim.view_site": null, "x": {"a": true}}', "{'dcim.view_site': None, 'x': {'a': True}}"):
            self.assertEqual(
                self.load(REMOTE_AUTH_DEFAULT_PERMISSIONS=text)['REMOTE_AUTH_DEFAULT_PERMISSIONS'],
                {'dcim.view_site': None, 'x': {'a': True}},
            )

    def test_hosts_are_a_list(self):
        for text in ('a.example,b.example', 'a.example b.example', ' a.example,  b.example ', '["a.example", "b.example"]'):
            self.assertEqual(self.load(ALLOWED_HOST=text)['ALLOWED_HOSTS'], ['a.example', 'b.example'], text)
        self.assertEqual(self.load(ALLOWED_HOST='*')['ALLOWED_HOSTS'], ['*'])

    def test_what_is_no_host_name_is_answered_with_what_to_write(self):
        for text, instead in (
            ('a;b', "write 'a, b'"),
            ('*.example.com', "write '.example.com'"),
            ('fd00::1', "write '[fd00::1]'"),
            ('10.0.6.0/24', 'NetBox knows no networks: write each address, or *'),
            ('10.0.6.0/255.255.255.0', 'NetBox knows no networks: write each address, or *'),
            ('https://netbox.example.com', "write 'netbox.example.com'"),
            ('https://u:p@netbox.example.com:8443/netbox/?a=b', "write 'netbox.example.com'"),
            ('netbox.example.com:8000', "write 'netbox.example.com'"),
            ('http://[fd00::1]:8000', "write '[fd00::1]'"),
            ('bücher.example', "write 'xn--bcher-kva.example'"),
            ('a;https://b:80/', "write 'a, b'"),
        ):
            (mistake,) = self.mistakes(ALLOWED_HOST=f'good.example {text}')
            self.assertTrue(mistake.endswith(f': {instead}'), mistake)
        for text in ('a;*;b', 'x$', '.', '..', '\U0001f986' * 80, '[::1', '|', 'a\\b'):
            try:
                self.load(ALLOWED_HOST=text)
            except configuration.ConfigurationError as error:
                self.assertEqual(len(error.mistakes), 1)
                self.assertLess(len(error.mistakes[0]), 300)

    def test_a_port_that_kubernetes_has_set_for_a_service_is_a_port(self):
        link = {'REDIS_PORT': 'tcp://10.0.0.1:6380', 'REDIS_CACHE_PORT': 'tcp://10.0.0.2:6381', 'DB_PORT': 'tcp://[fd00::1]:5433'}
        by_link = {'REDIS_SERVICE_HOST': '10.0.0.1', 'REDIS_CACHE_SERVICE_HOST': '10.0.0.2', 'DB_SERVICE_HOST': 'fd00::1'}
        settings = self.load(**link, **by_link)
        self.assertEqual(settings['DATABASES']['default']['PORT'], '5433')
        self.assertEqual((settings['REDIS']['tasks']['PORT'], settings['REDIS']['caching']['PORT']), (6380, 6380))
        self.assertEqual(self.load(**link, **by_link, REDIS_CACHE_HOST='redis-cache')['REDIS']['caching']['PORT'], 6381)
        lines = self.mistakes(**link)
        self.assertEqual([line.rpartition(': ')[2] for line in lines], ['5433', '6380', '6381'])
        self.assertIn('write the port alone', lines[0])

    def test_an_ipv6_address_in_brackets_is_no_list(self):
        for text in ('[2001:db8::1] a.example', '[2001:db8::1],a.example', '["[2001:db8::1]", "a.example"]'):
            self.assertEqual(self.load(ALLOWED_HOST=text)['ALLOWED_HOSTS'], ['[2001:db8::1]', 'a.example'], text)
        redis = self.load(REDIS_SENTINELS='[2001:db8::1]:26379 s2:26379')['REDIS']
        self.assertEqual(redis['tasks']['SENTINELS'], [('2001:db8::1', 26379), ('s2', 26379)])
        self.mistakes(ALLOWED_HOST='[one, two]')

    def test_uploads_get_the_mode_that_umask_leaves_them(self):
        self.assertEqual(self.load()['STORAGES'], {})
        for text, mode in (('027', 0o640), ('0', 0o666), ('0002', 0o664), ('777', 0)):
            for storage in self.load(UMASK=text)['STORAGES'].values():
                self.assertEqual(storage['OPTIONS']['file_permissions_mode'], mode, text)
        for text in ('8', '1000', '22x', '-1'):
            self.mistakes(UMASK=text)

    def test_slashes_around_a_base_path_do_not_matter(self):
        for text in ('/netbox', 'netbox/', 'netbox', '/netbox/'):
            self.assertEqual(self.load(BASE_PATH=text)['BASE_PATH'], 'netbox')

    def test_the_newline_at_the_end_of_a_secret_file_is_dropped_and_no_other(self):
        values, _ = environment.read(LEAST | {'FILE__DB_PASSWORD': '/run/secrets/p', 'DB_PASSWORD': 'p\n\n'})
        self.assertEqual(values.DB_PASSWORD, 'p\n')
        values, _ = environment.read(LEAST | {'DB_PASSWORD': 'p\n'})
        self.assertEqual(values.DB_PASSWORD, 'p\n')

    def test_a_redis_of_its_own_for_the_cache(self):
        redis = self.load(REDIS_HOST='a', REDIS_PASSWORD='p', REDIS_CACHE_HOST='b', REDIS_SENTINELS='s1:26379 s2:26379')['REDIS']
        self.assertEqual(redis['tasks']['SENTINELS'], [('s1', 26379), ('s2', 26379)])
        self.assertEqual((redis['caching']['HOST'], redis['caching']['PORT'], redis['caching']['PASSWORD']), ('b', 6379, ''))
        self.assertNotIn('SENTINELS', redis['caching'])
        redis = self.load(REDIS_PORT='1', REDIS_PASSWORD='p', REDIS_CACHE_HOST='b', REDIS_CACHE_PORT='2', REDIS_CACHE_PASSWORD='q')['REDIS']
        self.assertEqual((redis['caching']['PORT'], redis['caching']['PASSWORD']), (2, 'q'))

    def test_the_cache_on_the_same_redis_may_have_a_user_of_its_own(self):
        cache = self.load(REDIS_HOST='a', REDIS_PORT='1', REDIS_PASSWORD='p', REDIS_CACHE_USERNAME='u', REDIS_CACHE_PASSWORD='q')['REDIS']['caching']
        self.assertEqual((cache['HOST'], cache['PORT'], cache['USERNAME'], cache['PASSWORD']), ('a', 1, 'u', 'q'))

    def test_any_redis_user_and_address_makes_a_url_that_holds_neither(self):
        cache = self.load(REDIS_HOST='fd00::1', REDIS_USERNAME='a@b/c')['REDIS']['caching']
        self.assertEqual((cache['URL'], cache['USERNAME']), ('redis://[fd00::1]:6379/1', 'a@b/c'))


    def test_certificates_are_not_spoken_of_without_tls(self):
        for environ in ({'REDIS_SSL_VERIFY': 'false'}, {'REDIS_SSL_CA': '/config/ca.crt'}):
            for section in self.load(**environ)['REDIS'].values():
                self.assertEqual((section['INSECURE_SKIP_TLS_VERIFY'], section.get('CA_CERT_PATH')), (False, None))
            for section in self.load(REDIS_SSL='true', **environ)['REDIS'].values():
                self.assertTrue(section['INSECURE_SKIP_TLS_VERIFY'] or section.get('CA_CERT_PATH') == '/config/ca.crt')


class Mistakes(WithHome):
    def test_all_are_listed_at_once_a_line_each_by_name(self):
        wrong = {
            'TZ': 'Mars/Olympus', 'UMASK': '0o22', 'ALLOWED_HOST': 'https://a.example/', 'DB_PORT': '70000', 'DB_SSLMODE': 'maybe',
            'REDIS_PORT': '6379x', 'REDIS_DB_TASK': '-1', 'REDIS_SENTINELS': 'one', 'BASE_PATH': 'a b',
            'REMOTE_AUTH_ENABLED': 'perhaps', 'REMOTE_AUTH_DEFAULT_GROUPS': 'one', 'REMOTE_AUTH_DEFAULT_PERMISSIONS': '{}}',
            'CSRF_TRUSTED_ORIGINS': 'a.example', 'SECRET_KEY': 'short', 'NETBOX_ROLE': 'cook', 'WEB_WORKERS': '0',
            'STARTUP_TIMEOUT': 'long',
        }  # fmt: skip
        mistakes = self.mistakes(**wrong)
        self.assertEqual([line.split()[0] for line in mistakes], [v.name for v in environment.VARIABLES if v.name in wrong])
        for line in mistakes:
            self.assertRegex(line, r'^[A-Z_]+ must be [^\n]+$')

    def test_sentinels_and_tls_do_not_go_together(self):
        (mistake,) = self.mistakes(REDIS_SENTINELS='one:26379', REDIS_SSL='true')
        self.assertRegex(mistake, '^REDIS_SSL must be false with REDIS_SENTINELS')

    def test_what_is_shown_of_a_value_is_short(self):
        for value in ('x' * 61, '\U0010ffff' * 40, "'" * 100, '\n' * 59, '\\' * 59, '\'"' * 40, 'ß' * 60 + '\udcff'):
            (mistake,) = self.mistakes(DB_PORT=value)
            self.assertLess(len(mistake), 130, mistake)
            self.assertTrue(mistake.isascii() and mistake.isprintable(), mistake)

    def test_a_secret_is_never_shown(self):
        self.assertNotIn('hunter2', ' '.join(self.mistakes(SECRET_KEY='hunter2', API_TOKEN_PEPPER='hunter2')))

    def test_what_is_missing_is_named(self):
        with self.assertRaises(configuration.ConfigurationError) as caught:
            configuration.load({}, self.home)
        self.assertEqual([line.split()[0] for line in caught.exception.mistakes], ['ALLOWED_HOST', 'DB_USER'])

    def test_no_host_at_all_is_a_mistake_although_the_users_file_may_name_them(self):
        (self.home / 'configuration.py').write_text('BANNER_TOP = "hello"\n')
        with self.assertRaisesRegex(configuration.ConfigurationError, '^ALLOWED_HOST is required'):
            configuration.load({'DB_USER': 'netbox'}, self.home)

    def test_an_error_in_the_users_file_is_one_line_that_names_it(self):
        (self.home / 'configuration.py').write_text('A = 1\nB = nothing\n')
        (mistake,) = self.mistakes()
        self.assertEqual(mistake, f"{self.home}/configuration.py, line 2: NameError: name 'nothing' is not defined")


class OwnFiles(WithHome):
    def test_the_users_file_has_the_last_word(self):
        (self.home / 'configuration.d' / '20-mod.py').write_text('PLUGINS = [*PLUGINS, "second"]\nORDER = 2\n')
        (self.home / 'configuration.d' / '10-mod.py').write_text('PLUGINS = ["first"]\nORDER = 1\n')
        (self.home / 'configuration.py').write_text('REDIS["tasks"]["SSL"] = True\nORDER = 3\n')
        settings = self.load()
        self.assertEqual((settings['PLUGINS'], settings['ORDER']), (['first', 'second'], 3))
        self.assertIs(settings['REDIS']['tasks']['SSL'], True)
        self.assertEqual(settings['ALLOWED_HOSTS'], ['netbox.example.com'])

    def test_a_changed_variable_applies_although_a_file_exists(self):
        (self.home / 'configuration.py').write_text('BANNER_TOP = "hello"\n')
        self.assertEqual(self.load(BASE_PATH='one')['BASE_PATH'], 'one')
        self.assertEqual(self.load(BASE_PATH='two')['BASE_PATH'], 'two')

    def test_a_whole_configuration_of_the_older_image_works(self):
        (self.home / 'configuration.py').write_text(
            'ALLOWED_HOSTS = ["old.example"]\nDATABASE = {"NAME": "old", "USER": "u", "PASSWORD": "p", "HOST": "h", "PORT": ""}\n'
        )
        settings = configuration.load({}, self.home)
        self.assertEqual(settings['DATABASES']['default']['NAME'], 'old')
        self.assertNotIn('DATABASE', settings)


class Keys(WithHome):
    def test_they_are_made_once_and_kept_for_their_owner_alone(self):
        first, second = self.load(), self.load()
        self.assertEqual(first['SECRET_KEY'], second['SECRET_KEY'])
        self.assertEqual(first['API_TOKEN_PEPPERS'], second['API_TOKEN_PEPPERS'])
        self.assertNotEqual(first['SECRET_KEY'], first['API_TOKEN_PEPPERS'][1])
        files = sorted((self.home / 'keys').iterdir())
        self.assertEqual([f.name for f in files], ['secret_key', 'token_pepper'])
        for file in files:
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
            self.assertGreaterEqual(len(file.read_text()), environment.KEY_LENGTH)

    def test_containers_that_share_the_folder_get_the_same(self):
        # As in containers, where process ids are often the same.
        path = self.home / 'keys' / 'secret_key'
        with mock.patch('os.getpid', return_value=100), ThreadPoolExecutor(8) as pool:
            for _ in range(50):
                path.unlink(missing_ok=True)
                self.assertEqual(len(set(pool.map(lambda _: keys.keep(path), range(8)))), 1)
        self.assertEqual(list(path.parent.iterdir()), [path])

    def test_a_damaged_one_is_never_replaced(self):
        (self.home / 'keys' / 'secret_key').write_text('short')
        with self.assertRaisesRegex(Exception, 'secret_key holds fewer than 50 characters'):
            self.load()
        self.assertEqual((self.home / 'keys' / 'secret_key').read_text(), 'short')


if __name__ == '__main__':
    unittest.main()
