"""Fills a NetBox of any release from 3.7 to 4.6 with what an operator has. Run in its folder netbox, by its own Python."""

import base64
import os

import django

os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'netbox.settings')
django.setup()

from circuits.models import Circuit, CircuitType, Provider
from dcim.models import (
    Cable, Device, DeviceRole, DeviceType, FrontPort, Interface, InterfaceTemplate, InventoryItem, Location, Manufacturer,
    Module, ModuleBay, ModuleType, Platform, PowerFeed, PowerPanel, PowerPort, Rack, RearPort, Region, Site, VirtualChassis,
)
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from extras.models import (
    ConfigContext, CustomField, CustomFieldChoiceSet, CustomLink, ExportTemplate, ImageAttachment, JournalEntry, Tag, Webhook,
)
from ipam.models import ASN, RIR, VLAN, VRF, Aggregate, IPAddress, Prefix, VLANGroup
from tenancy.models import Contact, ContactAssignment, ContactRole, Tenant
from users.models import ObjectPermission, Token
from virtualization.models import Cluster, ClusterType, VirtualMachine, VMInterface

version = tuple(int(part) for part in os.environ['OLD'].split('.'))
kind = ContentType.objects.get_for_model


def of(field, model):
    """Custom fields and others spoke of content types before 4.0."""
    if version >= (4, 0):
        from core.models import ObjectType
        field.object_types.add(ObjectType.objects.get_for_model(model))
    else:
        getattr(field, 'content_types' if hasattr(field, 'content_types') else 'object_types').add(kind(model))


from django.db import transaction

transaction.set_autocommit(False)
users = get_user_model()
admin = users.objects.create_superuser('admin', 'admin@netbox.test', 'Gamla lykilorðið 1847')
erla = users.objects.create_user('erla', password='Fjallkona-1944!')
key = '0123456789abcdef0123456789abcdef01234567'
if version >= (4, 5):
    Token.objects.create(user=admin, version=1, token=key)
    Token.objects.create(user=admin, version=2, key='Gamlilykill1', token=key)
else:
    Token.objects.create(user=admin, key=key)

choices = CustomFieldChoiceSet.objects.create(name='Owners', extra_choices=[['net', 'Network'], ['ops', 'Operations']])
owner = CustomField.objects.create(name='owner', type='select', choice_set=choices)
of(owner, Device)
asset = CustomField.objects.create(name='floor', type='integer')
of(asset, Site)

tag = Tag.objects.create(name='Core', slug='core', color='aa1409')
region = Region.objects.create(name='Norðurland', slug='nordurland')
Region.objects.create(name='Akureyri', slug='akureyri', parent=region)
tenant = Tenant.objects.create(name='Tenant', slug='tenant')
site = Site.objects.create(name='Reykjavík', slug='reykjavik', description='a word: fjallkona', region=region, tenant=tenant,
                           time_zone='Atlantic/Reykjavik', latitude='64.146600', custom_field_data={'floor': 3})
site.tags.add(tag)
location = Location.objects.create(name='Hall', slug='hall', site=site)
rack = Rack.objects.create(name='R1', site=site, location=location, u_height=42)
maker = Manufacturer.objects.create(name='Maker', slug='maker')
platform = Platform.objects.create(name='System', slug='system')
dtype = DeviceType.objects.create(manufacturer=maker, model='Model', slug='model', u_height=1)
InterfaceTemplate.objects.bulk_create([InterfaceTemplate(device_type=dtype, name=f'eth{n}', type='1000base-t') for n in range(4)])
role = DeviceRole.objects.create(name='Role', slug='role', color='ff0000')
devices = []
for n, name in enumerate(('left', 'right', 'panel')):
    device = Device(name=name, site=site, location=location, rack=rack, position=n + 1, face='front', device_type=dtype, role=role,
                    platform=platform, tenant=tenant, serial=f'S{n}', custom_field_data={'owner': 'net'},
                    local_context_data={'ntp': '192.0.2.1'} if n == 0 else None)
    device.full_clean()
    device.save()
    devices.append(device)
left, right, panel = devices
left.tags.add(tag)
chassis = VirtualChassis.objects.create(name='Stack', master=left)
Device.objects.filter(pk=left.pk).update(virtual_chassis=chassis, vc_position=1)
PowerPort.objects.create(device=left, name='psu', type='iec-60320-c14')
InventoryItem.objects.create(device=left, name='Fan', manufacturer=maker)
bay = ModuleBay.objects.create(device=left, name='Slot 1')
Module.objects.create(device=left, module_bay=bay, module_type=ModuleType.objects.create(manufacturer=maker, model='Card'))
PowerFeed.objects.create(power_panel=PowerPanel.objects.create(site=site, name='P'), name='Feed')
rear = RearPort.objects.create(device=panel, name='rear', type='8p8c')
if version >= (4, 5):
    from dcim.models import PortMapping
    front = FrontPort.objects.create(device=panel, name='front', type='8p8c')
    PortMapping.objects.create(device=panel, front_port=front, front_port_position=1, rear_port=rear, rear_port_position=1)
else:
    front = FrontPort.objects.create(device=panel, name='front', type='8p8c', rear_port=rear, rear_port_position=1)
port = {device.name: Interface.objects.get(device=device, name='eth0') for device in devices}
# left -- front, rear -- right: a path along two cables.
Cable(a_terminations=[port['left']], b_terminations=[front], label='one').save()
Cable(a_terminations=[rear], b_terminations=[port['right']], label='two').save()
port['left'].refresh_from_db()  # it has a cable now
lag = Interface.objects.create(device=left, name='Port-channel1', type='lag')
if version >= (4, 2):
    from dcim.models import MACAddress
    mac = MACAddress.objects.create(mac_address='00:53:00:00:00:01', assigned_object=port['left'])
    port['left'].primary_mac_address = mac
    port['left'].save()
else:
    port['left'].mac_address = '00:53:00:00:00:01'
    port['left'].save()

rir = RIR.objects.create(name='RIR', slug='rir', is_private=True)
Aggregate.objects.create(prefix='10.0.0.0/8', rir=rir)
site.asns.add(ASN.objects.create(asn=65001, rir=rir))
vrf = VRF.objects.create(name='Blue', rd='65001:1')
group = VLANGroup.objects.create(name='VLANs', slug='vlans')
vlan = VLAN.objects.create(vid=100, name='Users', group=group)
where = {'scope_type': kind(Site), 'scope_id': site.pk} if version >= (4, 2) else {'site': site}
Prefix.objects.create(prefix='10.0.6.0/24', vrf=vrf, vlan=vlan, description='people', **where)
Prefix.objects.create(prefix='2001:db8::/48')
address = IPAddress.objects.create(address='10.0.6.1/24', vrf=vrf, dns_name='left.example.com', assigned_object=port['left'])
left.refresh_from_db()
left.primary_ip4 = address
left.save()
IPAddress.objects.create(address='2001:db8::1/64')
cluster = Cluster.objects.create(name='Cluster', type=ClusterType.objects.create(name='Type', slug='type'), **where)
machine = VirtualMachine.objects.create(name='vm', cluster=cluster, site=site, memory=2048)
VMInterface.objects.create(virtual_machine=machine, name='eth0')
provider = Provider.objects.create(name='Provider', slug='provider')
Circuit.objects.create(cid='C-1', provider=provider, type=CircuitType.objects.create(name='Fibre', slug='fibre'))
contact = Contact.objects.create(name='Guðrún', email='gudrun@example.com')
assignment = {'object_type' if version >= (4, 0) else 'content_type': kind(Site)}
ContactAssignment.objects.create(**assignment, object_id=site.pk, contact=contact, role=ContactRole.objects.create(name='Owner', slug='owner'))
context = ConfigContext.objects.create(name='Everywhere', data={'dns': ['192.0.2.53'], 'weight': 7})
context.sites.add(site)
JournalEntry.objects.create(assigned_object=site, created_by=erla, kind='info', comments='It was so.')
of(CustomLink.objects.create(name='Link', link_text='Look', link_url='https://example.com/{{ object.name }}'), Site)
of(ExportTemplate.objects.create(name='Names', template_code='{% for o in queryset %}{{ o.name }}\n{% endfor %}'), Site)
Webhook.objects.create(name='Hook', payload_url='http://127.0.0.1:9/')
permission = ObjectPermission.objects.create(name='See sites', actions=['view'])
of(permission, Site)
permission.users.add(erla)
image = ImageAttachment(name='photo', object_id=site.pk, image_width=1, image_height=1,
                        **{'object_type' if version >= (4, 0) else 'content_type': kind(Site)})
png = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==')
image.image.save('photo.png', ContentFile(png), save=False)
image.image_width = image.image_height = 1  # under Django 5.1 they are empty here
image.save()
print(settings.VERSION if hasattr(settings, 'VERSION') else settings.RELEASE.version, 'filled:', image.image.name)
transaction.commit()
