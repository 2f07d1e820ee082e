"""What NetBox is configured with while the image is built: nothing of it stays."""

ALLOWED_HOSTS = ['*']
DATABASES = {'default': {'NAME': 'netbox', 'USER': 'postgres', 'HOST': '/tmp'}}
# Never connected to: the build asks for no background work.
REDIS = {name: {'HOST': '127.0.0.1', 'PORT': 1, 'DATABASE': 0} for name in ('tasks', 'caching')}
SECRET_KEY = API_TOKEN_PEPPER = 'only-for-the-build-' * 3
API_TOKEN_PEPPERS = {1: API_TOKEN_PEPPER}
