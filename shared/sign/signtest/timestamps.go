package signtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

// startTimestamps runs a timestamp authority of RFC 3161 until the test is over, and returns the
// file of its certificates. It stands for sigstore's, of which a machine can have one:
// it takes port 2112 of all addresses. What makes timestamps is the same library.
func (s *Services) startTimestamps(t testing.TB, dir string) (chain string) {
	t.Helper()
	root, rootKey := certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "timestamp root"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	leaf, key := certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "timestamps"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{timestamping(t)},
	}, root, rootKey)
	var text bytes.Buffer
	for _, c := range []*x509.Certificate{leaf, root} {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	chain = filepath.Join(dir, "tsa.pem")
	write(t, chain, text.Bytes())
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			return
		}
		reply, err := stamp(query, leaf, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(reply) //nolint:errcheck // who asked went away
	}))
	t.Cleanup(web.Close)
	s.Timestamp = web.URL + "/api/v1/timestamp"
	return chain
}

// stamp answers a request for a timestamp.
func stamp(query []byte, cert *x509.Certificate, key crypto.Signer) ([]byte, error) {
	req, err := timestamp.ParseRequest(query)
	if err != nil {
		return nil, err
	}
	ts := timestamp.Timestamp{
		HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage, Nonce: req.Nonce,
		Time: time.Now().UTC(), Accuracy: time.Second, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
		AddTSACertificate: req.Certificates,
	}
	return ts.CreateResponseWithOpts(cert, key, crypto.SHA256)
}

// timestamping says of a certificate that it is for timestamps and nothing else, which
// has to be critical: RFC 3161, section 2.3.
func timestamping(t testing.TB) pkix.Extension {
	t.Helper()
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}
}

// certify makes a key and a certificate for it, by another or by itself.
func certify(t testing.TB, template, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.BasicConstraintsValid = big.NewInt(time.Now().UnixNano()), true
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if by == nil {
		by, byKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), byKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
