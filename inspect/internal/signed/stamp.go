package signed

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// stamp is when a trusted authority saw a signature.
func (r *Root) stamp(raw, signature []byte) (time.Time, error) {
	ts, err := timestamp.ParseResponse(raw)
	if err != nil {
		return time.Time{}, err
	}
	if !slices.Contains(hashes(), ts.HashAlgorithm) || !bytes.Equal(ts.HashedMessage, sum(ts.HashAlgorithm, signature)) {
		return time.Time{}, errors.New("it is of another signature")
	}
	failed := errors.New("no timestamp authority is trusted")
	if r == nil {
		return time.Time{}, failed
	}
	for _, a := range r.stampers {
		if !a.valid.has(ts.Time) {
			continue
		}
		if failed = a.stamped(ts); failed == nil {
			return ts.Time.UTC(), nil
		}
	}
	return time.Time{}, failed
}

// stamped tells whether the authority made a timestamp. Certificates are those of the
// file of trusted roots and no others, whatever the timestamp brings along.
func (a authority) stamped(ts *timestamp.Timestamp) error {
	p, err := pkcs7.Parse(ts.RawToken)
	if err != nil {
		return err
	}
	p.Certificates = a.chain
	roots, between := a.pools(nil)
	if err := p.VerifyWithOpts(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: ts.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	}); err != nil {
		return fmt.Errorf("it is not by a trusted authority: %w", err)
	}
	return nil
}
