"""Migrates the empty database of a build: what NetBox's own `upgrade` makes of it, in a fifth of the time.

After each of some 2,200 operations Django renders the changed model again and, with
it, all models that are related to it, however far away: in NetBox that is most of
them, nearly every time. Nothing but the code of RunPython sees the far ones, and for
that Django renders all models afresh. Here a model is rendered alone, or with those
that refer to it when a field is changed that they refer to. A test compares the
outcome with that of migrating as usual.

    migrate.py FILE

FILE gets what there is to be found in a dump: a line for each migration and each table.
"""

import gc
import sys
from pathlib import Path

# Migrations make a great deal of garbage, and looking for it takes longer than making it.
gc.set_threshold(200_000, 20, 100)

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import get_references


def _changed(self, app_label, model_name, delay=False):
    """The models to render again: in place of ProjectState._find_reload_model."""
    self.is_delayed = True  # has RunPython render all of them
    models = {(app_label, model_name)}
    if not delay and (app_label, model_name) in self.models:
        models.update((model.app_label, model.name_lower) for model, *_ in get_references(self, (app_label, model_name)))
    return models


if not hasattr(ProjectState, '_find_reload_model'):  # private to Django
    print('migrate.py: this Django renders models in another way: the migrations take minutes longer', file=sys.stderr)
ProjectState._find_reload_model = _changed

_migrate = MigrationExecutor.migrate


def _counted(self, targets, plan=None, *args, **kwargs):
    """Prints which migration of how many is applied: in place of MigrationExecutor.migrate."""
    count = 0

    def progress(action, migration=None, fake=False):
        nonlocal count
        if action == 'apply_start':
            count += 1
            print(f'migration {count} of {len(plan or ())}: {migration}', flush=True)

    self.progress_callback = progress
    return _migrate(self, targets, plan, *args, **kwargs)


MigrationExecutor.migrate = _counted

# What is deleted asks the cache for NetBox's settings, and the build has no Redis.
settings.CACHES = {'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'}}
django.setup()
# What follows the migrations is part of it: some of them make rows that are searched for.
call_command('upgrade', no_input=True, skip_static=True)

with connection.cursor() as cursor:
    tables = connection.introspection.table_names(cursor)
Path(sys.argv[1]).write_text(
    ''.join(f'migration {app} {name}\n' for app, name in sorted(MigrationRecorder(connection).applied_migrations()))
    + ''.join(f'table {name}\n' for name in tables)
)
