"""A background worker: NetBox's own rqworker over the queues high, default and low."""


def work() -> None:
    """Works until SIGTERM, then ends the job in hand."""
    from django.core.management import call_command

    call_command('rqworker', 'high', 'default', 'low')
