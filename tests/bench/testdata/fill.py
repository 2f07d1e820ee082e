"""Fills NetBox with 1,000 devices, as an import would leave them."""

import time

import django

django.setup()

from dcim.models import Device, DeviceRole, DeviceType, Manufacturer, Platform, Rack, Site
from django.db import transaction
from django_rq import get_queue

with transaction.atomic():
    sites = [Site.objects.create(name=f'Site {n}', slug=f'site-{n}') for n in range(10)]
    racks = [Rack.objects.create(name=f'Rack {n}', site=site) for site in sites for n in range(5)]
    maker = Manufacturer.objects.create(name='Maker', slug='maker')
    kinds = [
        DeviceType.objects.create(manufacturer=maker, model=f'Model {n}', slug=f'model-{n}', u_height=1) for n in range(5)
    ]
    role = DeviceRole.objects.create(name='Switch', slug='switch')
    platform = Platform.objects.create(name='System', slug='system')
    Device.objects.bulk_create(
        Device(
            name=f'device-{n:04}',
            site=racks[n % 50].site,
            rack=racks[n % 50],
            device_type=kinds[n % 5],
            role=role,
            platform=platform,
            serial=f'SN{n:08}',
        )
        for n in range(1000)
    )

# The workers then look through what is new.
for queue in map(get_queue, ('high', 'default', 'low')):
    while queue.count or queue.started_job_registry.count:
        time.sleep(0.2)
