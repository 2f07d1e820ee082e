package life

import (
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// TestWhatWasLeftOutIsNotMissed uses library code that is close to the parts that the image
// omits.
func TestWhatWasLeftOutIsNotMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.start(engine.Container{Name: "python", Image: machine.image, Entrypoint: []string{"/lsiopy/bin/python3", "-c", `
import boto3
login = dict(region_name='eu-central-1', aws_access_key_id='a', aws_secret_access_key='b')
print(boto3.client('s3', **login).generate_presigned_url('get_object', {'Bucket': 'b', 'Key': 'k'}))
boto3.resource('s3', endpoint_url='http://127.0.0.1:9', **login).Bucket('b')
for service in ('sts', 'sso', 'sso-oidc'):
    boto3.client(service, **login)
`}})
	if code := w.ended(c); code != 0 {
		t.Errorf("status %d: %s", code, said(c))
	}
}
