"""A background worker: NetBox's own rqworker over the queues high, default and low."""

import re
import secrets
from collections.abc import Collection

from netbox_container import configuration, metrics

TTL = 45  # seconds; an idle worker shows a sign of life 15 s before


def name_of(instance: str) -> str:
    """A name that no other worker has, by which one sees whose it is."""
    return f'netbox-{instance}-{secrets.token_hex(8)}'


def strangers(names: Collection[str], instance: str) -> int:
    """How many of the workers belong to another NetBox."""
    return sum(bool(re.fullmatch(r'netbox-[0-9a-f]{12}-[0-9a-f]{16}', name)) and not name.startswith(f'netbox-{instance}-') for name in names)


def work() -> None:
    """Works until SIGTERM, then ends the job in hand."""
    from django.conf import settings
    from django.core.management import call_command

    metrics.leave()
    forget_lost_jobs()
    call_command('rqworker', 'high', 'default', 'low', name=name_of(configuration.instance({'SECRET_KEY': settings.SECRET_KEY})), worker_class=steadfast(), worker_ttl=TTL)


def steadfast() -> type:
    """NetBox's class of workers, made to be soon back with a Redis that was away, also if that lost everything."""
    from django_rq.workers import get_worker_class
    from rq import worker_registration

    class Steadfast(get_worker_class()):
        max_connection_wait_time = 5.0

        def heartbeat(self, *args, **kwargs):
            super().heartbeat(*args, **kwargs)
            # A sign of life is all that may be left of it: whoever asks which queues have a worker finds none.
            if not self.connection.hexists(self.key, 'queues'):
                self.connection.hset(self.key, mapping=self.serialize())
                worker_registration.register(self)

    return Steadfast


def forget_lost_jobs() -> None:
    """Takes back system jobs that would be waited for in vain: Redis lost them, or a worker died over them.

    NetBox queues a system job only where none is queued or running as far as the database knows.
    """
    from datetime import timedelta

    import django_rq
    from core.choices import JobStatusChoices
    from core.models import Job
    from django.utils import timezone
    from netbox.registry import registry

    jobs = Job.objects.filter(
        name__in=[job.name for job in registry['system_jobs']],
        object_id=None,
        status__in=JobStatusChoices.ENQUEUED_STATE_CHOICES,
        created__lt=timezone.now() - timedelta(minutes=1),  # another container may be about to queue it
    )
    for job in jobs:
        queued = django_rq.get_queue(job.queue_name or 'default').fetch_job(str(job.job_id))
        if queued is None or queued.is_finished or queued.is_failed or queued.is_canceled or queued.is_stopped:
            job.delete()
