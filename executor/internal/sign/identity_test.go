package sign_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/sign"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
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

// TestIdentity_tag: the same under a tag, which needs the promise of a log.
func TestIdentity_tag(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	services := signtest.StartServices(t, cosign)
	host := registrytest.Real(t, registrytest.RealConfig{})
	c := client()
	token := services.Issuer.Token(t, "ci@example.com", time.Now().Add(time.Hour))
	subject, image := push(t, c, host+"/app:1")
	o := identified(c, services, token, sign.Tag)
	o.Services.Log = services.First.URL
	s := open(t, o)
	attach(t, s, subject)
	attach(t, open(t, o), subject) // by the same identity, and it counts once
	if n := count(t, c, subject).tagged; n != 1 {
		t.Errorf("%d signatures", n)
	}
	if err := s.AttestStatement(t.Context(), subject, predicateType, statement(subject)); err != nil {
		t.Fatal(err)
	}
	if n := services.First.Entries(); n != 3 {
		t.Errorf("%d entries in the log", n)
	}
	verify := func(as string, what ...string) error {
		_, err := cosign.Run(t, append(append(what, services.Flags(as)...), image)...)
		return err
	}
	for _, what := range [][]string{{"verify"}, {"verify-attestation", "--type", predicateType}} {
		if err := verify("ci@example.com", what...); err != nil {
			t.Error(err)
		}
		if err := verify("other@example.com", what...); err == nil {
			t.Errorf("%s as another", what)
		}
	}
}
