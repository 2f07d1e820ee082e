"""Which migrations a database holds, and whether they are those of a newer release."""

import re


def applied(connection) -> set[tuple[str, str]]:
    """The migrations, by application and name, that have been applied to the database."""
    if connection.execute("select to_regclass('django_migrations')").fetchone() == (None,):
        return set()
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


def _number(migration: str) -> int:
    return int(re.match(r'\d*', migration)[0] or 0)
