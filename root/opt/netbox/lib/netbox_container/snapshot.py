"""The ready-made schema: what hundreds of migrations make of an empty database, as one SQL script.

The build makes it with

    pg_dump --inserts --file DUMP ... && python -m netbox_container.snapshot pack DUMP MIGRATED > FILE

and the container loads it.
"""

import gzip
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FILE = Path('/opt/netbox/schema.sql.gz')
EMPTY = Path('/run/netbox/empty')  # is there while an empty database waits to be filled

_ANY_TABLE = """
    select exists (
        select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'f') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_')
"""


def wanted(connection) -> bool:
    """Whether the database is empty, in the plain sense: no table of any user in any schema."""
    if connection.execute('select current_schema()').fetchone() != ('public',):
        return False  # the script names the schema public
    return not connection.execute(_ANY_TABLE).fetchone()[0]


def read(file: Path = FILE) -> str:
    """The script."""
    return gzip.decompress(file.read_bytes()).decode()


def migrations(script: str) -> set[tuple[str, str]]:
    """The migrations, by application and name, that a script says it holds."""
    found = set()
    for block in re.findall(r'^INSERT INTO public\.django_migrations VALUES\n((?:\t.*\n)+)', script, re.MULTILINE):
        found.update(re.findall(r"^\t\(\d+, '(\w+)', '(\w+)', ", block, re.MULTILINE))
    if not found:
        raise ValueError('the schema snapshot lists no migrations')
    return found


def extensions(script: str) -> list[str]:
    """The extensions of PostgreSQL that a script makes."""
    return re.findall(r'^CREATE EXTENSION IF NOT EXISTS "?([\w-]+)"? ', script, re.MULTILINE)


def load(connection, script: str) -> None:
    """Fills the empty database, whole or not at all."""
    try:
        with connection.transaction():
            connection.execute(script)
    finally:
        connection.execute('reset all')  # the script sets the search path for its session


def portable(dump: Iterable[str]) -> Iterator[str]:
    """The lines of a dump without what only psql, the newest server or the dump's owner understands.

    Moments become the moment of loading, as if the migrations had run then;
    random values are chosen again, as they would have been.
    """
    for line in dump:
        if re.match(r'\\(un)?restrict |SET transaction_timeout |COMMENT ON EXTENSION ', line):
            continue
        line = re.sub(r"'20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00'", 'now()', line)
        yield re.sub(r"'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'", 'gen_random_uuid()', line)


def check(script: str, migrated: str) -> None:
    """Fails unless a script is a whole dump of what was migrated: a line `migration APPLICATION NAME` or `table NAME` each."""
    dumped = {f'migration {app} {name}' for app, name in migrations(script)}
    dumped.update(f'table {name}' for name in re.findall(r'^CREATE TABLE public\.(\w+) \($', script, re.MULTILINE))
    there = set(migrated.splitlines())
    if dumped != there:
        raise ValueError(f'the dump and the database differ: the dump lacks {sorted(there - dumped)} and holds {sorted(dumped - there)} besides')
    if '\n-- PostgreSQL database dump complete\n' not in script:
        raise ValueError('the dump has no end')


if __name__ == '__main__':
    match sys.argv[1:]:
        case ['pack', dump, migrated]:
            with open(dump, encoding='utf-8') as lines:
                script = ''.join(portable(lines))
            check(script, Path(migrated).read_text())
            sys.stdout.buffer.write(gzip.compress(script.encode(), mtime=0))
        case _:
            sys.exit('usage: python -m netbox_container.snapshot pack DUMP MIGRATED')
