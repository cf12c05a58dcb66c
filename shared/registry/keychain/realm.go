package keychain

import (
	"regexp"
	"strings"
)

// ecrHost is a private registry: the account, FIPS, the region, and the domain of one
// of Amazon's partitions, where on.* are their names for both families of addresses.
var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.` +
	`(?:amazonaws\.(?:com|com\.cn|eu)|on\.(?:aws|amazonwebservices\.com\.cn)|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// ECRPublic is the host of Amazon's public registry, and the realm of it.
const ECRPublic = "public.ecr.aws"

// googleRealm knows Artifact Registry and what is left of Container Registry.
func googleRealm(host string) (string, bool) {
	return "", host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, ".pkg.dev")
}

// ecrRealm knows Amazon's registries. A realm is a region, for a token of it is good
// for all accounts that its owner may use; or the public registry.
func ecrRealm(host string) (string, bool) {
	if host == ECRPublic {
		return ECRPublic, true
	}
	m := ecrHost.FindStringSubmatch(host)
	if m == nil {
		return "", false
	}
	return m[2] + m[1], true
}

// acrRealm knows Azure's registries. A realm is a registry: each makes its own tokens.
func acrRealm(host string) (string, bool) {
	for _, suffix := range []string{".azurecr.io", ".azurecr.cn", ".azurecr.us", ".azurecr.de"} {
		if strings.HasSuffix(host, suffix) {
			return host, true
		}
	}
	return "", false
}
