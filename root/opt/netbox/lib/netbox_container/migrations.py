"""Which migrations a database holds, whether they are those of a newer release, and how those are applied that it lacks."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any


def applied(connection) -> set[tuple[str, str]]:
    """The migrations, by application and name, that have been applied to the database."""
    if connection.execute("select to_regclass('django_migrations')").fetchone() == (None,):
        return set()
    if not connection.execute("select has_table_privilege('django_migrations', 'select')").fetchone()[0]:
        info = connection.info
        raise PermissionError(strangers(connection, ['django']) or f'DB_USER={info.user} may not read the tables in DB_NAME={info.dbname}')
    return set(connection.execute('select app, name from django_migrations').fetchall())


def newer(done: set[tuple[str, str]], known: set[tuple[str, str]]) -> list[str]:
    """The migrations done that come after all this release knows of the same application.

    Those of plugins are not looked at. An older one that is not known has been
    squashed into others since.
    """
    last: dict[str, int] = {}
    for app, name in known:
        last[app] = max(last.get(app, 0), _number(name))
    return sorted(f'{app}.{name}' for app, name in done - known if app in last and _number(name) > last[app])


def missing(disk: Mapping[tuple[str, str], Any], done: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """The migrations that the database still needs and that no release on disk has: squashed into others since, of
    which the database holds a part only. disk has what was loaded, by application and name.
    """
    found = set()
    for migration in disk.values():
        replaced = [tuple(key) for key in migration.replaces]
        if any(key in done for key in replaced):
            found.update(key for key in replaced if key not in done and key not in disk)
    return sorted(found)


def through(done: Collection[tuple[str, str]]) -> str:
    """The release to go through for a database that NetBox cannot upgrade in one go.

    3.7 was squashed at 0130 and is whole to where later releases were squashed;
    what is older than 0130 needs the last release that had the parts.
    """
    return '3.7' if ('dcim', '0130_sitegroup') in done else '2.11, and then 3.7'


def strangers(connection, labels: Iterable[str]) -> str:
    """Why DB_USER cannot change the tables of these applications, in a line; empty when they can.

    Tables change for their owner alone, whatever else has been granted.
    """
    info = connection.info
    found = connection.execute("""
        select relname, rolname, r.oid < 16384, count(*) over ()
        from pg_class join pg_roles r on r.oid = relowner
        where relnamespace = (select relnamespace from pg_class where oid = to_regclass('django_migrations'))
        and relkind in ('r', 'p') and relname like any (%s) and not pg_has_role(relowner, 'usage')
        order by relname limit 1""", [[label.replace('_', r'\_') + r'\_%' for label in labels]]).fetchone()  # fmt: skip
    if not found:
        return ''
    table, owner, builtin, number = found
    remedy = f'REASSIGN OWNED BY "{owner}" TO "{info.user}"'
    if builtin:  # PostgreSQL's own things would be among them
        remedy = f'ALTER TABLE {table} OWNER TO "{info.user}", and so on'
    return (
        f'{number} tables in DB_NAME={info.dbname}, like {table}, belong to {owner} and cannot be upgraded by DB_USER={info.user}: '
        f'set DB_USER={owner}, or let a superuser run there: {remedy}'
    )


def apply(total: int, say: Callable[[str], None]) -> None:
    """Runs Django's own command, with a line for each migration that says how many there are."""
    from django.core.management import call_command, get_commands, load_command_class

    command = load_command_class(get_commands()['migrate'], 'migrate')
    command.migration_progress_callback = progress(total, say)
    call_command(command, interactive=False)


def progress(total: int, say: Callable[[str], None]) -> Callable:
    count = 0

    def report(action: str, migration=None, fake: bool = False) -> None:
        nonlocal count
        if action in ('apply_start', 'unapply_start'):
            count += 1
            say(f'migration {count} of {total}: {migration}')

    return report


def _number(migration: str) -> int:
    return int(re.match(r'\d*', migration)[0] or 0)
