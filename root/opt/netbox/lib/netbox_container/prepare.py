"""The second service: waits for PostgreSQL and Redis and brings the database up to date.

An empty database is left to the third service, which fills it while it loads NetBox:
PostgreSQL and Python then work at the same time, and the first page comes sooner.
"""

import importlib.metadata
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql

from netbox_container import configuration, migrations, services, snapshot, stopping, web, worker

# Any number will do as long as every container uses the same.
LOCK = 0x6E6574626F78
PATIENCE = 3600  # seconds another container may take to prepare the same database


def say(text: str) -> None:
    print(f'[netbox] {text}', file=sys.stderr, flush=True)


def main() -> None:
    stopping.watch()
    values = configuration.environ_values()
    try:
        settings = configuration.load(os.environ)
        configuration.check_ldap(settings)
    except configuration.ConfigurationError as error:
        configuration.die(error)
    if values.NETBOX_ROLE != 'worker':
        try:
            for door in web.doors():
                door.close()
        except web.PortTaken as error:
            configuration.end(str(error))
    deadline = time.monotonic() + values.STARTUP_TIMEOUT
    place, workers = settings['DATABASES']['default'], set()
    try:
        guard = services.wait('PostgreSQL', lambda: services.database(place), deadline)
        for section in ('tasks', 'caching'):
            found = services.wait('Redis', lambda: services.queue(section, settings['REDIS'][section]), deadline)
            workers |= found if section == 'tasks' else set()
    except (services.Refused, services.Unusable) as error:
        configuration.end(str(error))
    except services.NotReady as error:
        configuration.end(f'{error} (waited up to STARTUP_TIMEOUT={values.STARTUP_TIMEOUT} s)')
    if number := worker.strangers(workers, configuration.instance(settings)):
        say(
            f'{number} background workers of another NetBox use this Redis with REDIS_DB_TASK={values.REDIS_DB_TASK}: '
            'each takes tasks of the other: set REDIS_DB_TASK and REDIS_DB_CACHE to numbers that only this one has'
        )
    snapshot.EMPTY.unlink(missing_ok=True)
    bring_up_to_date(settings, guard, later=not settings.get('PLUGINS'))
    if not snapshot.EMPTY.exists():
        say('the database is ready')


def fill(settings: Mapping[str, Any]) -> None:
    """Does what was left for later. Meanwhile another container may have filled the database, and with another release."""
    try:
        guard = services.database(settings['DATABASES']['default'])
    except (services.NotReady, services.Unusable) as error:
        configuration.end(str(error))
    bring_up_to_date(settings, guard)
    snapshot.EMPTY.unlink()
    say('the database is ready')


def bring_up_to_date(settings: Mapping[str, Any], guard: psycopg.Connection, later: bool = False) -> None:
    """Fills or upgrades the database where it needs that; with later, leaves an empty one, and a mark that it is empty."""
    try:
        with guard, only_one(guard):
            with services.database(settings['DATABASES']['default']) as connection:
                give_up_when_we_end(connection.execute)
                state = prepare(connection, bool(settings.get('PLUGINS')), later)
            if state:
                upgrade(state)
    except services.NotReady as error:
        configuration.end(str(error))
    except Exception as error:
        if problem := configuration.improper(error):
            configuration.die(configuration.ConfigurationError(problem))
        if not lost(error):
            traceback.print_exc()
            configuration.end(f'preparing the database: {type(error).__name__}: {_line(error)}')
        configuration.end(f'preparing the database: {_line(error)}: see DB_HOST and the log of PostgreSQL; the next start goes on from here')


def prepare(connection: psycopg.Connection, plugins: bool, later: bool) -> str:
    """Fills an empty database, or leaves that for later. Returns what it must be upgraded to, empty when it is up to date."""
    if connection.execute('show transaction_read_only').fetchone() == ('on',):
        info = connection.info
        configuration.end(f'the database DB_NAME={info.dbname} at DB_HOST={info.host} can be read only: name the server that takes changes')
    script, state = snapshot.read(), f'NetBox {importlib.metadata.version("netbox")}'
    try:
        known, done = snapshot.migrations(script), migrations.applied(connection)
    except PermissionError as error:
        configuration.end(str(error))
    name = connection.info.dbname
    if unknown := migrations.newer(done, known):
        configuration.end(
            f'the database DB_NAME={name} holds migrations that {state} does not know, like {unknown[0]}: '
            f'start the newer image again ({recorded(connection) or "it did not leave its name"}), or restore what was saved before it'
        )
    if not done and (encoding := connection.info.parameter_status('server_encoding')) != 'UTF8':
        # Otherwise the first name that it cannot hold would fail.
        configuration.end(
            f'the database DB_NAME={name} is encoded as {encoding}: create it again with: CREATE DATABASE "{name}" TEMPLATE template0 ENCODING \'UTF8\''
        )
    if not known <= done and (problem := lacking(connection, snapshot.extensions(script))):
        configuration.end(problem)
    if not done and snapshot.wanted(connection):
        if later:
            snapshot.EMPTY.touch()
            return ''
        say('filling the empty database')
        try:
            with connection.transaction():
                snapshot.load(connection, script)
                record(connection.execute, state)
        except psycopg.Error as error:
            configuration.end(f'filling the database: {_line(error)}: it is as it was; see DB_HOST and the log of PostgreSQL')
        done = known
    # Starting Django only to find nothing to do takes longer than all the rest.
    return state if plugins or not known <= done or recorded(connection) != state else ''


@contextmanager
def only_one(guard: psycopg.Connection):
    """Lets one container at a time prepare a database.

    The lock is one of a transaction, which the connection does nothing else
    than to hold: a session behind a pooler is shared, and keeps its locks when
    the container has long ended.
    """
    deadline = time.monotonic() + PATIENCE
    said = False
    while True:
        with guard.transaction():
            guard.execute('set local idle_in_transaction_session_timeout = 0')
            if guard.execute('select pg_try_advisory_xact_lock(%s)', [LOCK]).fetchone()[0]:
                with held(guard):
                    yield
                return
        if time.monotonic() > deadline:
            configuration.end(f'another container has been preparing this database for {PATIENCE} s: stop it, then start this one again')
        if not said:
            said = True
            say('another container prepares this database: waiting for it')
        time.sleep(0.5)


@contextmanager
def held(guard: psycopg.Connection):
    """Ends the process when the connection is lost, and the lock with it: another container may have it by then."""
    enough = threading.Event()

    def watch() -> None:
        while not enough.wait(5):
            try:
                guard.execute('select 1')
            except psycopg.Error as error:
                with suppress(SystemExit):
                    configuration.end(f'preparing the database: {_line(error)}: see DB_HOST and the log of PostgreSQL; the next start goes on from here')
                os._exit(1)

    thread = threading.Thread(target=watch, name='lock', daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def give_up_when_we_end(execute: Callable) -> None:
    """Has PostgreSQL look now and then whether this process still lives, also while it works on a long statement."""
    execute("select set_config(name, '1s', false) from pg_settings where name = 'client_connection_check_interval'")


def lacking(connection: psycopg.Connection, extensions: list[str]) -> str:
    """What keeps the migrations from running, in a line; empty when nothing does."""
    user, name = connection.info.user, connection.info.dbname
    schema, create, any_extension = connection.execute("""
        select s, has_schema_privilege(to_regnamespace(s)::oid, 'create'), has_database_privilege(current_database(), 'create')
        from coalesce(current_schema(), 'public') s""").fetchone()
    if not create:
        return f'DB_USER={user} may not create tables in DB_NAME={name}: let its owner run there: GRANT CREATE ON SCHEMA {schema} TO "{user}"'
    for extension in extensions:
        found = connection.execute("""
            select exists (select from pg_extension where extname = a.name), v.trusted or current_setting('is_superuser')::bool
            from pg_available_extensions a join pg_available_extension_versions v on v.name = a.name and v.version = a.default_version
            where a.name = %s""", [extension]).fetchone()  # fmt: skip
        if not found:
            return f'PostgreSQL at DB_HOST={connection.info.host} has no extension {extension}: install it there (it comes with PostgreSQL, or in a package "contrib")'
        installed, allowed = found
        if not installed and not (any_extension and allowed):
            return f'DB_USER={user} may not create the extension {extension} in DB_NAME={name}: let a superuser run there: CREATE EXTENSION {extension}'
    return ''


def recorded(connection: psycopg.Connection) -> str | None:
    """What the database has last been brought up to date with."""
    return connection.execute("select obj_description(to_regclass('django_migrations'), 'pg_class')").fetchone()[0]


def record(execute: Callable, state: str | None) -> None:
    """Writes down what the database is up to date with; None while it is not.

    A comment, because a table of ours would be one that NetBox's documentation
    does not know. Only the table's owner may leave one: where that is somebody
    else, every start does what follows the migrations again.
    """
    execute(f"""
        do $$ begin
            if (select pg_has_role(relowner, 'usage') from pg_class where oid = to_regclass('django_migrations')) then
                comment on table django_migrations is {sql.Literal(state).as_string()};
            end if;
        end $$""")


def upgrade(state: str) -> None:
    """Applies what is not applied yet, and does what follows the migrations where that has not been done.

    A start that was killed in between leaves no record, and the next does it all.
    """
    import gc

    gc.disable()  # start-up makes no garbage worth a fifth of its time
    import django

    try:
        django.setup()
    except Exception as error:  # plugins run code of their own here
        files = ', '.join(map(str, configuration.own_files(configuration.HOME))) or 'no file of settings'
        configuration.end(f'loading NetBox: {type(error).__name__}: {_line(error)}: see PLUGINS and PLUGINS_CONFIG in {files}')
    gc.enable()
    from django.apps import apps
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection, transaction
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.recorder import MigrationRecorder
    from netbox.config import clear_config, get_config

    loader = MigrationLoader(connection, load=False)
    loader.load_disk()
    done = set(MigrationRecorder(connection).applied_migrations())
    if problem := too_old(migrations.missing(loader.disk_migrations, done), done, state):
        configuration.end(problem)
    executor = MigrationExecutor(connection)
    executor.loader.check_consistent_history(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    plugins = sorted(f'{app.name} {app.version}' for app in apps.get_app_configs() if app.name in settings.PLUGINS)
    state = ', '.join([state, *plugins])
    connection.ensure_connection()
    if plan and (problem := migrations.strangers(connection.connection, [app.label for app in apps.get_app_configs()] + ['django'])):
        configuration.end(problem)
    if not plan and recorded(connection.connection) == state:
        return
    say(f'applying {len(plan)} migrations' if plan else f'bringing the database up to date with {state}')
    with connection.cursor() as cursor:
        give_up_when_we_end(cursor.execute)
        if plan:
            record(cursor.execute, None)
            # Migrations that delete rows ask for NetBox's dynamic settings, in a table that an older database has
            # otherwise: it fails, and with it the migration's transaction. Asked for before, they are in memory.
            log = logging.getLogger('netbox.config')
            log.disabled = True
            get_config()
            log.disabled = False
        try:
            migrations.apply(len(plan), say)
        except Exception as error:
            done = set(MigrationRecorder(connection).applied_migrations()) if not lost(error) else set()
            failed = [f'{m.app_label}.{m.name}' for m, _ in plan if (m.app_label, m.name) not in done]
            if not done or not failed:
                raise
            traceback.print_exc()
            configuration.end(
                f'migration {failed[0]} failed: {_line(error)}: restore what was saved before the upgrade, '
                'mend what this line names with the old release, then start this image again'
            )
        clear_config()
        # Whole or not at all: a search index that was begun passes for a complete one.
        with transaction.atomic():
            call_command('upgrade', no_input=True, skip_migrations=True, skip_static=True)
            record(cursor.execute, state)


def too_old(missing: list[tuple[str, str]], done: set[tuple[str, str]], state: str) -> str:
    """Why the database cannot be upgraded in one go, in a line; empty when it can."""
    if not missing:
        return ''
    app, name = missing[0]
    if app not in {'circuits', 'core', 'dcim', 'extras', 'ipam', 'tenancy', 'users', 'virtualization', 'vpn', 'wireless'}:
        return f'the tables of the plugin {app} are too old for the release installed: start once with one that has the migration {app}.{name}'
    return f'the database is too old for {state} to upgrade (it lacks {app}.{name}); nothing was changed: upgrade it to NetBox {migrations.through(done)} first'


def lost(error: Exception) -> bool:
    """Whether the database went away or takes no changes: nothing is wrong with what was asked of it."""
    return isinstance(error.__cause__ or error, (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction))


def _line(error: Exception) -> str:
    error = error.__cause__ or error  # Django has errors of its own around those of psycopg
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == '__main__':
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'netbox.settings')
    main()
