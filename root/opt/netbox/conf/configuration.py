"""The configuration NetBox loads: the environment's, then the user's own files.

ldap_config.py beside this file is the user's /config/ldap_config.py.
"""

import os

from netbox_container import configuration

globals().update(configuration.load(os.environ))
