package release

import (
	"crypto/md5"
	"encoding/hex"

	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// packageTag names the packages in the image, by what users of these images
// know: eight characters of the list's MD5.
func packageTag(list []byte) Decision {
	if list == nil {
		return Decision{"none", "there is no " + sbom.ListFile}
	}
	sum := md5.Sum(list)
	return Decision{hex.EncodeToString(sum[:])[:8], "MD5 of " + sbom.ListFile}
}
