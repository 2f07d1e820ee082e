"""The second service: waits for PostgreSQL and Redis and brings the database up to date."""

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
        except psycopg.Error as error:
            say(f'filling the database: {str(error).splitlines()[0]}: it is as it was; see DB_HOST and the log of PostgreSQL')
            sys.exit(1)
        # Starting Django only to find nothing to do takes longer than all the rest.
        if settings.get('PLUGINS') or not snapshot.holds_all(connection):
            migrate()
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


def migrate() -> None:
    """Applies what is not applied yet."""
    import gc

    gc.disable()  # start-up makes no garbage worth a fifth of its time
    import django

    django.setup()
    gc.enable()
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    executor.loader.check_consistent_history(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        say(f'applying {len(plan)} migrations')
        call_command('upgrade', no_input=True, skip_static=True)


if __name__ == '__main__':
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'netbox.settings')
    main()
