package signed

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// The extensions of Fulcio's certificates (oid-info.md of its sources).
const (
	oldIssuer = "1.3.6.1.4.1.57264.1.1" // as it is
	newIssuer = "1.3.6.1.4.1.57264.1.8" // a UTF8String
	otherName = "1.3.6.1.4.1.57264.1.7"
	altNames  = "2.5.29.17"
)

// certificate checks that m's certificate is of a trusted authority, was good at a time,
// and is in a log of certificates.
func (r *Root) certificate(m *Material, at time.Time, ignoreSCT bool) error {
	leaf := *m.Leaf
	// A name of a kind that Go does not know is read by [names].
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), func(id asn1.ObjectIdentifier) bool { return id.String() == altNames })
	failed := errors.New("no certificate authority is trusted")
	if r == nil {
		return failed
	}
	for _, a := range r.authorities {
		if !a.valid.has(at) {
			continue
		}
		roots, between := a.pools(m.Chain)
		chains, err := leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		})
		if err != nil {
			failed = fmt.Errorf("its certificate, at %s: %w", at.Format(time.RFC3339), err)
			continue
		}
		if ignoreSCT {
			return nil
		}
		if failed = r.logged(chains); failed == nil {
			return nil
		}
	}
	return failed
}

// Identity is who a certificate must be for, and who must have vouched for it. Of each
// there has to be the exact text or a pattern.
type Identity struct {
	Name, Issuer               string
	NamePattern, IssuerPattern *regexp.Regexp
}

// match is who a certificate is for, if it is for who it should be for.
func (i Identity) match(cert *x509.Certificate) (name, issuer string, err error) {
	issuer = issuerOf(cert)
	if !fits(issuer, i.Issuer, i.IssuerPattern) {
		return "", "", fmt.Errorf("its certificate is by the word of %q, which is not who should vouch", issuer)
	}
	all := names(cert)
	for _, n := range all {
		if fits(n, i.Name, i.NamePattern) {
			return n, issuer, nil
		}
	}
	return "", "", fmt.Errorf("its certificate is for %q, which is not who should sign", all)
}

func fits(text, want string, pattern *regexp.Regexp) bool {
	switch {
	case text == "":
		return false
	case want != "":
		return text == want
	}
	return pattern != nil && pattern.MatchString(text)
}

func issuerOf(cert *x509.Certificate) string {
	old := ""
	for _, e := range cert.Extensions {
		switch e.Id.String() {
		case newIssuer:
			var text string
			if rest, err := asn1.Unmarshal(e.Value, &text); err == nil && len(rest) == 0 {
				return text
			}
		case oldIssuer:
			old = string(e.Value)
		}
	}
	return old
}

// names are whom a certificate is for.
func names(cert *x509.Certificate) []string {
	all := slices.Clone(cert.EmailAddresses)
	for _, u := range cert.URIs {
		all = append(all, u.String())
	}
	all = append(all, cert.DNSNames...)
	for _, e := range cert.Extensions {
		if e.Id.String() == altNames {
			all = append(all, otherNames(e.Value)...)
		}
	}
	return all
}

// otherNames are the names of Fulcio's own kind: RFC 5280, section 4.2.1.6, and there
// otherName.
func otherNames(raw []byte) []string {
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return nil
	}
	var all []string
	for left := seq.Bytes; len(left) > 0; {
		var one asn1.RawValue
		var err error
		if left, err = asn1.Unmarshal(left, &one); err != nil {
			return nil
		}
		if one.Class != asn1.ClassContextSpecific || one.Tag != 0 {
			continue
		}
		var id asn1.ObjectIdentifier
		rest, err := asn1.Unmarshal(one.Bytes, &id)
		if err != nil || id.String() != otherName {
			continue
		}
		var text string
		if _, err := asn1.UnmarshalWithParams(rest, &text, "utf8,explicit,tag:0"); err == nil {
			all = append(all, text)
		}
	}
	return all
}
