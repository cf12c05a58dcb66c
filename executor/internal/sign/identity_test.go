package sign_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/sign"
	"github.com/kaniko-suite/kaniko/executor/internal/sign/signtest"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// identified signs with a token.
func identified(c *registry.Client, s *signtest.Services, token string, f sign.Format) sign.Options {
	return sign.Options{
		Client: c, Format: f,
		Identity: sign.IdentityOptions{Token: token, Authority: s.Authority, LookupEnv: environment(), Now: time.Now},
		Services: sign.Services{Log: s.Log, Timestamp: s.Timestamp},
	}
}

// TestIdentity: who had a token signed, and nobody else.
func TestIdentity(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	services := signtest.StartServices(t, cosign)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	c := client()
	token := services.Issuer.Token(t, "ci@example.com", time.Now().Add(time.Hour))
	subject, image := push(t, c, host+"/app:1")
	attach(t, open(t, identified(c, services, token, sign.Referrers)), subject)
	if out, err := cosign.Run(t, append(append([]string{"verify"}, services.Flags("ci@example.com")...), image)...); err != nil {
		t.Error(out, err)
	}
	if _, err := cosign.Run(t, append(append([]string{"verify"}, services.Flags("other@example.com")...), image)...); err == nil || !strings.Contains(err.Error(), "expected SAN value") {
		t.Errorf("as another: %v", err)
	}
}
