"""The second service: waits for PostgreSQL and Redis and brings the database up to date.

All in one process, because starting Django is the dearest part of it.
"""

import os
import sys
import time
from contextlib import contextmanager

import psycopg

from netbox_container import configuration, services, snapshot

# Any number will do as long as every container uses the same.
LOCK = 0x6E6574626F78
PATIENCE = 3600  # seconds another container may take to prepare the same database


def say(text: str) -> None:
    print(f'[netbox] {text}', file=sys.stderr, flush=True)


def main() -> None:
    values = configuration.environ_values()
    try:
        settings = configuration.load(os.environ)
    except configuration.ConfigurationError as error:
        configuration.die(error)
    deadline = time.monotonic() + values.STARTUP_TIMEOUT
    try:
        connection = services.wait('PostgreSQL', lambda: services.database(settings['DATABASES']['default']), deadline)
        for section in ('tasks', 'caching'):
            services.wait('Redis', lambda: services.queue(section, settings['REDIS'][section]), deadline)
    except (services.NotReady, services.Unusable) as error:
        say(f'{error} (waited up to STARTUP_TIMEOUT={values.STARTUP_TIMEOUT} s)')
        sys.exit(1)
    with connection, only_one(connection):
        try:
            if snapshot.wanted(connection):
                say('filling the empty database')
                snapshot.load(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            say(f'filling the database: {str(error).splitlines()[0]}: DB_USER needs CREATE on the database DB_NAME')
            sys.exit(1)
        migrate(values)
    say('the database is ready')


@contextmanager
def only_one(connection: psycopg.Connection):
    """Lets one container at a time prepare a database; the lock goes with its connection."""
    deadline = time.monotonic() + PATIENCE
    said = False
    while not connection.execute('select pg_try_advisory_lock(%s)', [LOCK]).fetchone()[0]:
        if time.monotonic() > deadline:
            say(f'another container has been preparing this database for {PATIENCE} s: stop it, then start this one again')
            sys.exit(1)
        if not said:
            said = True
            say('another container prepares this database: waiting for it')
        time.sleep(0.5)
    yield


def migrate(values) -> None:
    """Applies what is not applied yet and makes the superuser."""
    import gc

    gc.disable()  # start-up makes no garbage worth a fifth of its time
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    executor.loader.check_consistent_history(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        say(f'applying {len(plan)} migrations')
        call_command('upgrade', no_input=True, skip_static=True)

    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    if values.SUPERUSER_PASSWORD and not users.filter(username='admin').exists():
        users.create_superuser('admin', values.SUPERUSER_EMAIL, values.SUPERUSER_PASSWORD)
        say('made the superuser admin')
    elif not values.SUPERUSER_PASSWORD and not users.filter(is_superuser=True).exists():
        say('there is no superuser: set SUPERUSER_PASSWORD to have one made')


if __name__ == '__main__':
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'netbox.settings')
    main()
