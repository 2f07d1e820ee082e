"""Waits for PostgreSQL and Redis, and names the variable to check when they do not come."""

import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg
import redis
import redis.backoff
import redis.retry
import redis.sentinel

OLDEST_POSTGRES = 15
OLDEST_REDIS = 6
ATTEMPT = 5  # seconds a single try may take
GRACE = 10  # seconds until a refusal is believed: a service that is being set up learns of its users last


class NotReady(Exception):
    """A service that does not answer yet. One line: what failed and which variable to look at."""


class Refused(NotReady):
    """A service that answers, and refuses: waiting longer changes nothing."""


class Unusable(Exception):
    """A service that answers but will never do, like one too old. One line."""


def wait(name: str, attempt: Callable[[], Any], deadline: float) -> Any:
    """Repeats attempt until it returns a result; the last NotReady is raised at the deadline (monotonic seconds).

    One that has been Refused for a while is raised before.
    """
    said = refused = 0.0
    while True:
        try:
            return attempt()
        except NotReady as reason:
            now = time.monotonic()
            refused = (refused or now) if isinstance(reason, Refused) else 0.0
            if now >= deadline or refused and now - refused >= GRACE:
                raise
            if now - said >= 10:
                said = now
                print(f'[netbox] waiting for {name}: {reason} ({deadline - now:.0f} s left)', file=sys.stderr)
            time.sleep(min(0.5, deadline - now))


def database(settings: Mapping[str, Any]) -> psycopg.Connection:
    """A connection to the database that the settings name, in autocommit mode."""
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    options = {key: value for key, value in settings.get('OPTIONS', {}).items() if key in known}
    where = {
        'dbname': settings.get('NAME'),
        'user': settings.get('USER'),
        'password': settings.get('PASSWORD'),
        'host': settings.get('HOST'),
        'port': settings.get('PORT'),
    }
    options.update((key, value) for key, value in where.items() if value)
    options.setdefault('connect_timeout', ATTEMPT)
    options.setdefault('client_encoding', 'UTF8')  # as Django; from a database without an encoding come bytes
    place = f'{options.get("host", "the local socket")}:{options.get("port", 5432)}'
    try:
        connection = psycopg.connect(**options, autocommit=True, prepare_threshold=None)  # a pooler may hand what is prepared to others
    except psycopg.Error as error:
        kind = Refused if re.search(REFUSAL, str(error)) else NotReady
        raise kind(f'PostgreSQL at {place}: {_why_not(str(error))}') from None
    major = connection.info.server_version // 10000
    if major < OLDEST_POSTGRES:
        raise Unusable(f'PostgreSQL at {place} has version {major}; NetBox needs {OLDEST_POSTGRES} or later: see DB_HOST')
    return connection


# What PostgreSQL and pgbouncer answer to whom they do not know.
REFUSAL = r'authentication failed|(role|database|user) "?\S*"? does not exist|no such (user|database)|no pg_hba\.conf entry|no password supplied'


def _why_not(error: str) -> str:
    text = error.strip().rpartition('FATAL:')[2].strip().splitlines()[0] if error.strip() else 'no answer'
    for sign, variables in (
        ('database system', 'DB_HOST'),  # is starting up, or shutting down
        ('password', 'DB_USER and DB_PASSWORD'),
        ('pg_hba.conf', 'DB_USER, DB_NAME and DB_SSLMODE'),
        ('role', 'DB_USER'),
        ('database', 'DB_NAME'),
        ('SSL', 'DB_SSLMODE'),
        ('certificate', 'DB_SSLMODE'),
        ('resolve', 'DB_HOST'),
        ('Name or service', 'DB_HOST'),
        ('Name does not resolve', 'DB_HOST'),
        ('Temporary failure', 'DB_HOST'),
    ):
        if sign in text:
            return f'{text}: see {variables}'
    return f'{text}: see DB_HOST and DB_PORT'


def queue(section: str, settings: Mapping[str, Any]) -> set[str]:
    """Asks the Redis of one section of NetBox's REDIS setting whether it will do, and which workers are registered there."""
    prefix = 'REDIS_CACHE' if section == 'caching' else 'REDIS'
    index = 'REDIS_DB_CACHE' if section == 'caching' else 'REDIS_DB_TASK'
    limits = {
        'socket_connect_timeout': ATTEMPT,
        'socket_timeout': ATTEMPT,
        'retry': redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    }
    login = {
        'username': settings.get('USERNAME') or None,
        'password': settings.get('PASSWORD') or None,
        'db': settings.get('DATABASE', 0),
    }
    tls = {}
    if settings.get('SSL'):
        tls = {'ssl': True, 'ssl_cert_reqs': 'none' if settings.get('INSECURE_SKIP_TLS_VERIFY') else 'required'}
        if settings.get('CA_CERT_PATH'):
            tls['ssl_ca_certs'] = settings['CA_CERT_PATH']
    place = f'{settings.get("HOST", "localhost")}:{settings.get("PORT", 6379)}'
    try:
        if settings.get('SENTINELS'):
            place = 'of the Sentinels'
            client = redis.Sentinel(settings['SENTINELS'], sentinel_kwargs=limits).master_for(
                settings.get('SENTINEL_SERVICE', 'default'), **limits, **login, **tls
            )
        elif settings.get('URL') and section == 'tasks':
            place = 'of the URL'
            client = redis.Redis.from_url(settings['URL'], **limits)
        else:
            client = redis.Redis(
                host=settings.get('HOST', 'localhost'), port=settings.get('PORT', 6379), **limits, **login, **tls
            )
        with client:
            client.ping()
            version = ''
            # Both for users who may do so; nothing else needs the answers.
            with suppress(redis.exceptions.NoPermissionError):
                version = str(client.info('server').get('redis_version', ''))
            with suppress(redis.exceptions.NoPermissionError):
                client.set('netbox-container', 1, ex=1)  # a replica, or a full one, answers but takes nothing
            workers = set()
            with suppress(redis.exceptions.NoPermissionError):
                workers = {key.decode(errors='replace').removeprefix('rq:worker:') for key in client.smembers('rq:workers')}
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        # Without any password the answer is a lecture on the protocol.
        why = error if settings.get('PASSWORD') else 'it asks for a password'
        raise Refused(f'Redis {place}: {why}: see {prefix}_USERNAME and {prefix}_PASSWORD') from None
    except redis.sentinel.MasterNotFoundError as error:
        raise NotReady(f'Redis {place}: {error}: see REDIS_SENTINELS and REDIS_SENTINEL_SERVICE') from None
    except redis.ResponseError as error:
        raise NotReady(f'Redis {place}: {error}: see {index if "DB index" in str(error) else prefix + "_HOST"}') from None
    except (redis.RedisError, OSError) as error:
        if tls and ('SSL' in str(error) or 'No such file' in str(error)):
            variables = 'REDIS_SSL, REDIS_SSL_VERIFY and REDIS_SSL_CA'
        elif settings.get('SENTINELS'):
            variables = 'REDIS_SENTINELS'
        elif 'closed' in str(error) or 'reset' in str(error):
            variables = f'REDIS_SSL, {prefix}_HOST and {prefix}_PORT'
        else:
            variables = f'{prefix}_HOST and {prefix}_PORT'
        raise NotReady(f'Redis {place}: {error}: see {variables}') from None
    if version.partition('.')[0].isdigit() and int(version.partition('.')[0]) < OLDEST_REDIS:
        raise Unusable(f'Redis {place} has version {version}; NetBox needs {OLDEST_REDIS} or later: see {prefix}_HOST')
    return workers
