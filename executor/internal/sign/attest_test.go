package sign_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/executor/internal/sign"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
)

const predicateType = "https://example.com/predicate/v1"

// statement says something of an image.
func statement(of exporter.Subject) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":%q}}],"predicateType":%q,"predicate":{"a":"b"}}`,
		of.Descriptor.Digest.Hex, predicateType)
}

// TestAttest: cosign verifies a statement that a key signed, and no other.
func TestAttest(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	_, other := cosign.KeyPair(t)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	for _, f := range formats() {
		t.Run(string(f), func(t *testing.T) {
			c := client()
			subject, image := push(t, c, host+"/"+string(f)+":1")
			s := open(t, keyed(c, key, f))
			for range 2 {
				if err := s.AttestStatement(t.Context(), subject, predicateType, statement(subject)); err != nil {
					t.Fatal(err)
				}
			}
			verify := func(by, kind string) (string, error) {
				return cosign.Run(t, "verify-attestation", "--key", by, "--insecure-ignore-tlog=true", "--type", kind, image)
			}
			out, err := verify(public, predicateType)
			if err != nil {
				t.Error(err)
			}
			if n := strings.Count(strings.TrimSpace(out), "\n") + 1; n != 1 || !strings.Contains(out, "payload") {
				t.Errorf("%d statements: %s", n, out)
			}
			if _, err := verify(other, predicateType); err == nil {
				t.Error("verified by another key")
			}
			if _, err := verify(public, "https://example.com/another"); err == nil {
				t.Error("verified as another statement")
			}
		})
	}
}

// TestAttest_identity: and one that was signed without a key.
func TestAttest_identity(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	services := signtest.StartServices(t, cosign)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	c := client()
	token := services.Issuer.Token(t, "ci@example.com", time.Now().Add(time.Hour))
	subject, image := push(t, c, host+"/app:1")
	s := open(t, identified(c, services, token, sign.Referrers))
	if err := s.AttestStatement(t.Context(), subject, predicateType, statement(subject)); err != nil {
		t.Fatal(err)
	}
	verify := func(as string) error {
		_, err := cosign.Run(t, append(append([]string{"verify-attestation", "--type", predicateType}, services.Flags(as)...), image)...)
		return err
	}
	if err := verify("ci@example.com"); err != nil {
		t.Error(err)
	}
	if err := verify("other@example.com"); err == nil {
		t.Error("verified as another")
	}
}
