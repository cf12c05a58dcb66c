package signed

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// services are sigstore's, as far as they sign: an authority, a log of certificates and
// a log of Rekor's first version, whose promises they make. Those that can run on a
// machine do in the tests of the command; these stand for what cannot: Rekor's first
// version and a log of certificates want data bases.
type services struct {
	t              *testing.T
	root, between  *x509.Certificate
	rootKey, caKey *ecdsa.PrivateKey
	log, certLog   *ecdsa.PrivateKey
	begin          time.Time
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func startServices(t *testing.T) *services {
	s := &services{t: t, rootKey: newKey(t), caKey: newKey(t), log: newKey(t), certLog: newKey(t), begin: time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)}
	s.root = s.issue(&x509.Certificate{IsCA: true, Subject: pkix.Name{CommonName: "root"}, NotAfter: s.begin.AddDate(1, 0, 0)}, nil, s.rootKey, s.rootKey)
	s.between = s.issue(&x509.Certificate{
		IsCA: true, Subject: pkix.Name{CommonName: "between"}, NotAfter: s.begin.AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}, s.root, s.caKey, s.rootKey)
	return s
}

// issue makes a certificate for a key.
func (s *services) issue(c, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) *x509.Certificate {
	s.t.Helper()
	c.SerialNumber, c.NotBefore, c.BasicConstraintsValid = big.NewInt(7), s.begin, true
	if c.IsCA {
		c.KeyUsage = x509.KeyUsageCertSign
	}
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), byKey)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	return cert
}

func (s *services) certificate(key *ecdsa.PrivateKey, name pkix.Extension, issuer string, logged bool) *x509.Certificate {
	s.t.Helper()
	value, err := asn1.Marshal(issuer)
	if err != nil {
		s.t.Fatal(err)
	}
	c := x509.Certificate{
		NotAfter: s.begin.Add(10 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{name, {Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: value}},
	}
	first := c
	before := s.issue(&first, s.between, key, s.caKey)
	if !logged {
		return before
	}
	c.ExtraExtensions = append(c.ExtraExtensions, s.promise(before))
	return s.issue(&c, s.between, key, s.caKey)
}

// promise is the extension with the promise of the log of certificates: RFC 6962,
// section 3.2.
func (s *services) promise(before *x509.Certificate) pkix.Extension {
	s.t.Helper()
	millis := uint64(s.begin.UnixMilli())
	issuer := sha256.Sum256(s.between.RawSubjectPublicKeyInfo)
	text := binary.BigEndian.AppendUint64([]byte{0, 0}, millis)
	text = append(append(text, 0, 1), issuer[:]...)
	n := len(before.RawTBSCertificate)
	text = append(append(text, byte(n>>16), byte(n>>8), byte(n)), before.RawTBSCertificate...)
	text = append(text, 0, 0)
	sig := sign(s.t, s.certLog, text)
	one := append([]byte{0}, s.id(s.certLog)...)
	one = append(binary.BigEndian.AppendUint64(one, millis), 0, 0, 4, 3)
	one = append(binary.BigEndian.AppendUint16(one, uint16(len(sig))), sig...)
	list := append(binary.BigEndian.AppendUint16(nil, uint16(len(one))), one...)
	value, err := asn1.Marshal(append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...))
	if err != nil {
		s.t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value}
}

func (s *services) id(key *ecdsa.PrivateKey) []byte {
	sum := sha256.Sum256(spki(s.t, key.Public()))
	return sum[:]
}

func spki(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sign(t *testing.T, key crypto.Signer, text []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(text)
	sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// trusted is the file of what to trust, read.
func (s *services) trusted() *Root {
	s.t.Helper()
	log := func(key *ecdsa.PrivateKey) string {
		return fmt.Sprintf(`[{"publicKey": {"rawBytes": %q, "validFor": {"start": "2026-01-01T00:00:00Z"}}, "logId": {"keyId": %q}}]`, b64(spki(s.t, key.Public())), b64(s.id(key)))
	}
	r, err := ReadRoot(fmt.Appendf(nil, `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": %s, "ctlogs": %s,
		"certificateAuthorities": [{"certChain": {"certificates": [{"rawBytes": %q}, {"rawBytes": %q}]}, "validFor": {"start": "2026-01-01T00:00:00Z", "end": "2027-06-01T00:00:00Z"}}]}`,
		log(s.log), log(s.certLog), b64(s.between.Raw), b64(s.root.Raw)))
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// entered is the annotation with the log's entry.
func (s *services) entered(body string, at time.Time) string {
	s.t.Helper()
	payload := fmt.Sprintf(`{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":5}`, b64([]byte(body)), at.Unix(), hex.EncodeToString(s.id(s.log)))
	return fmt.Sprintf(`{"SignedEntryTimestamp":%q,"Payload":%s}`, b64(sign(s.t, s.log, []byte(payload))), payload)
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func email(t *testing.T, text string) pkix.Extension { return alternative(t, 1, []byte(text)) }

func alternative(t *testing.T, tag int, raw []byte) pkix.Extension {
	t.Helper()
	value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: tag == 0, Bytes: raw}})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: value}
}

// username is a name of Fulcio's own kind.
func username(t *testing.T, text string) pkix.Extension {
	t.Helper()
	id, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7})
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.MarshalWithParams(text, "utf8,explicit,tag:0")
	if err != nil {
		t.Fatal(err)
	}
	return alternative(t, 0, append(id, value...))
}

// hashed is an entry of the kind hashedrekord.
func hashed(text, sig []byte, signer string) string {
	sum := sha256.Sum256(text)
	return fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		sum, b64(sig), b64([]byte(signer)))
}

// An identity has signed if an authority, a log and a log of certificates that are
// trusted say so, and each of them is needed.
func TestIdentity(t *testing.T) {
	s, foreign := startServices(t), startServices(t)
	key, text := newKey(t), []byte("text")
	sig := sign(t, key, text)
	at := s.begin.Add(time.Minute)
	issuer := "https://issuer.example"
	cert := s.certificate(key, email(t, "a@example.com"), issuer, true)
	good := func() map[string]string {
		return map[string]string{
			signatureKey: b64(sig), certificateKey: pemOf(cert), chainKey: pemOf(s.between) + pemOf(s.root), entryKey: s.entered(hashed(text, sig, pemOf(cert)), at),
		}
	}
	who := Identity{Name: "a@example.com", Issuer: issuer}
	for name, c := range map[string]struct {
		notes func(map[string]string)
		trust func(*Trust)
		fails string
	}{
		"good": {nil, nil, ""},
		"patterns": {nil, func(t *Trust) {
			t.Identity = Identity{NamePattern: regexp.MustCompile("^a@"), IssuerPattern: regexp.MustCompile("issuer")}
		}, ""},
		"another name":  {nil, func(t *Trust) { t.Identity.Name = "b@example.com" }, "not who should sign"},
		"a longer name": {nil, func(t *Trust) { t.Identity.Name = "a@example.co" }, "not who should sign"},
		"another word":  {nil, func(t *Trust) { t.Identity.Issuer = "https://other.example" }, "not who should vouch"},
		"no root":       {nil, func(t *Trust) { t.Root = nil }, "is not trusted"},
		"another root":  {nil, func(t *Trust) { t.Root = foreign.trusted() }, "is not trusted"},
		"another authority": {nil, func(t *Trust) {
			r := *t.Root
			r.authorities = foreign.trusted().authorities
			t.Root = &r
		}, "its certificate, at"},
		"another log of certificates": {nil, func(t *Trust) {
			r := *t.Root
			r.certLogs = foreign.trusted().certLogs
			t.Root = &r
		}, "log of certificates"},
		"no log of certificates": {func(n map[string]string) {
			bare := s.certificate(key, email(t, "a@example.com"), issuer, false)
			n[certificateKey], n[entryKey] = pemOf(bare), s.entered(hashed(text, sig, pemOf(bare)), at)
		}, nil, "in no log of certificates"},
		"none asked for": {func(n map[string]string) {
			bare := s.certificate(key, email(t, "a@example.com"), issuer, false)
			n[certificateKey], n[entryKey] = pemOf(bare), s.entered(hashed(text, sig, pemOf(bare)), at)
		}, func(t *Trust) { t.IgnoreSCT = true }, ""},
		"no entry":              {func(n map[string]string) { delete(n, entryKey) }, nil, "no entry of a transparency log"},
		"no entry, and no time": {func(n map[string]string) { delete(n, entryKey) }, func(t *Trust) { t.Logged = false }, "nothing that is trusted says when"},
		"too late": {func(n map[string]string) {
			n[entryKey] = s.entered(hashed(text, sig, pemOf(cert)), s.begin.Add(time.Hour))
		}, nil, "expired"},
		"too early": {func(n map[string]string) {
			n[entryKey] = s.entered(hashed(text, sig, pemOf(cert)), s.begin.Add(-time.Hour))
		}, nil, "not yet valid"},
		"a promise of another log": {func(n map[string]string) { n[entryKey] = foreign.entered(hashed(text, sig, pemOf(cert)), at) }, nil, "is not trusted"},
		"a promise that is changed": {func(n map[string]string) {
			n[entryKey] = strings.Replace(n[entryKey], `"logIndex":5`, `"logIndex":6`, 1)
		}, nil, "the promise of the log"},
		"an entry of another text":      {func(n map[string]string) { n[entryKey] = s.entered(hashed([]byte("other"), sig, pemOf(cert)), at) }, nil, "about another signature"},
		"an entry of another signature": {func(n map[string]string) { n[entryKey] = s.entered(hashed(text, sign(t, key, text), pemOf(cert)), at) }, nil, "about another signature"},
		"an entry of another certificate": {func(n map[string]string) {
			n[entryKey] = s.entered(hashed(text, sig, pemOf(s.certificate(key, email(t, "a@example.com"), issuer, true))), at)
		}, nil, "about another signature"},
		"an unknown entry": {func(n map[string]string) { n[entryKey] = s.entered(`{"kind":"alpine","apiVersion":"0.0.1"}`, at) }, nil, "is not known"},
		"another key": {func(n map[string]string) {
			n[certificateKey] = pemOf(s.certificate(newKey(t), email(t, "a@example.com"), issuer, true))
		}, nil, "not a signature of that text"},
		"a signature of a key":     {func(n map[string]string) { delete(n, certificateKey) }, nil, "it has no certificate"},
		"a timestamp that is none": {func(n map[string]string) { n[stampKey] = `{"SignedRFC3161Timestamp":"AAAA"}` }, nil, "its timestamp"},
	} {
		t.Run(name, func(t *testing.T) {
			notes := good()
			if c.notes != nil {
				c.notes(notes)
			}
			trust := &Trust{Identity: who, Root: s.trusted(), Logged: true}
			if c.trust != nil {
				c.trust(trust)
			}
			m, err := FromText(text, notes)
			if err != nil {
				t.Fatal(err)
			}
			p, err := trust.Verify(m)
			if c.fails == "" && (err != nil || p.By != "a@example.com" || p.Issuer != issuer || !p.Time.Equal(at) || p.LogIndex != 5) {
				t.Errorf("%+v, %v", p, err)
			}
			if c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("%+v, %v, want %s", p, err, c.fails)
			}
		})
	}
}

// Names are addresses, URIs, and those of a kind that only Fulcio has.
func TestIdentity_names(t *testing.T) {
	s := startServices(t)
	key, text := newKey(t), []byte("text")
	sig := sign(t, key, text)
	uri, err := url.Parse("https://ci.example/workflow@main")
	if err != nil {
		t.Fatal(err)
	}
	for want, name := range map[string]pkix.Extension{
		"a@example.com": email(t, "a@example.com"), uri.String(): alternative(t, 6, []byte(uri.String())), "someone!example": username(t, "someone!example"),
	} {
		cert := s.certificate(key, name, "https://issuer.example", true)
		m, err := FromText(text, map[string]string{
			signatureKey: b64(sig), certificateKey: pemOf(cert), entryKey: s.entered(hashed(text, sig, pemOf(cert)), s.begin.Add(time.Minute)),
		})
		if err != nil {
			t.Fatal(err)
		}
		trust := &Trust{Identity: Identity{Name: want, Issuer: "https://issuer.example"}, Root: s.trusted(), Logged: true}
		if p, err := trust.Verify(m); err != nil || p.By != want {
			t.Errorf("%s: %+v, %v", want, p, err)
		}
	}
}

// Entries about envelopes, of the kinds that Rekor has had, are about one envelope.
func TestEnvelopeEntries(t *testing.T) {
	s := startServices(t)
	key := newKey(t)
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(t, key.Public())}))
	e := Envelope{Payload: []byte(`{"_type":"https://in-toto.io/Statement/v1"}`), PayloadType: StatementMedia}
	sig := sign(t, key, e.text())
	raw := fmt.Sprintf(`{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}`, b64(e.Payload), e.PayloadType, b64(sig))
	sum := sha256.Sum256(e.Payload)
	for kind, body := range map[string]string{
		"dsse 0.0.1": fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"dsse","spec":{"payloadHash":{"algorithm":"sha256","value":"%x"},"signatures":[{"signature":%q,"verifier":%q}]}}`,
			sum, b64(sig), b64([]byte(public))),
		"intoto 0.0.2": fmt.Sprintf(`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"signatures":[{"sig":%q,"publicKey":%q}]},"payloadHash":{"algorithm":"sha256","value":"%x"}}}}`,
			b64([]byte(b64(sig))), b64([]byte(public)), sum),
		"dsse 0.0.2": fmt.Sprintf(`{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":%q},"signatures":[{"content":%q,"verifier":{"publicKey":{"rawBytes":%q}}}]}}}`,
			b64(sum[:]), b64(sig), b64(spki(t, key.Public()))),
	} {
		trust := &Trust{Key: key.Public(), Root: s.trusted(), Logged: true}
		m, err := FromEnvelope([]byte(raw), map[string]string{entryKey: s.entered(body, s.begin)})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := trust.Verify(m); err != nil || p.LogIndex != 5 {
			t.Errorf("%s: %+v, %v", kind, p, err)
		}
		other := Envelope{Payload: []byte(`{}`), PayloadType: StatementMedia}
		second, err := FromEnvelope(fmt.Appendf(nil, `{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}`, b64(other.Payload), other.PayloadType, b64(sign(t, key, other.text()))),
			map[string]string{entryKey: s.entered(body, s.begin)})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := trust.Verify(second); err == nil || !strings.Contains(err.Error(), "about another signature") {
			t.Errorf("%s of another envelope: %+v, %v", kind, p, err)
		}
	}
}

// A proof leads to the root from every entry of trees of every shape, and from no other
// place, and only a log's own checkpoint says what the root is.
func TestProof(t *testing.T) {
	key := newKey(t)
	for size := int64(1); size <= 17; size++ {
		var leaves [][]byte
		for i := range size {
			leaves = append(leaves, fmt.Appendf(nil, "entry %d", i))
		}
		root := hashTree(leaves)
		text := fmt.Sprintf("log\n%d\n%s\n", size, b64(root))
		note := text + "\n— log " + b64(append([]byte{0, 0, 0, 0}, sign(t, key, []byte(text))...)) + "\n"
		for i := range size {
			e := Entry{Body: leaves[i], Proof: &Inclusion{Index: i, Size: size, Root: root, Hashes: path(leaves, i), Checkpoint: note}}
			if err := e.included(key.Public()); err != nil {
				t.Errorf("%d of %d: %v", i, size, err)
			}
			if err := e.included(newKey(t).Public()); err == nil {
				t.Errorf("%d of %d: by another key", i, size)
			}
			wrong := *e.Proof
			wrong.Index = i + 1
			if err := (&Entry{Body: e.Body, Proof: &wrong}).included(key.Public()); err == nil {
				t.Errorf("%d of %d: at another place", i, size)
			}
			if err := (&Entry{Body: []byte("other"), Proof: e.Proof}).included(key.Public()); err == nil {
				t.Errorf("%d of %d: another entry", i, size)
			}
			wrong = *e.Proof
			wrong.Hashes = append(path(leaves, i), root)
			if err := (&Entry{Body: e.Body, Proof: &wrong}).included(key.Public()); err == nil {
				t.Errorf("%d of %d: one hash more", i, size)
			}
			wrong = *e.Proof
			wrong.Checkpoint = strings.Replace(note, "log\n", "lag\n", 1)
			if err := (&Entry{Body: e.Body, Proof: &wrong}).included(key.Public()); err == nil {
				t.Errorf("%d of %d: a changed checkpoint", i, size)
			}
		}
	}
}

// hashTree is the root of a tree, as RFC 9162, section 2.1.1, defines it.
func hashTree(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return leafHash(leaves[0])
	}
	k := split(len(leaves))
	return nodeHash(hashTree(leaves[:k]), hashTree(leaves[k:]))
}

// path is the proof of an entry: section 2.1.3.1.
func path(leaves [][]byte, i int64) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if i < int64(k) {
		return append(path(leaves[:k], i), hashTree(leaves[k:]))
	}
	return append(path(leaves[k:], i-int64(k)), hashTree(leaves[:k]))
}

func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// Keys of all kinds verify what they signed.
func TestKeys(t *testing.T) {
	text := []byte("text")
	short, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key crypto.Signer
		sig func() ([]byte, error)
	}{
		{short, func() ([]byte, error) { return short.Sign(nil, sum(crypto.SHA256, text), crypto.SHA256) }},
		{edwards, func() ([]byte, error) { return edwards.Sign(nil, text, crypto.Hash(0)) }},
		{edwards, func() ([]byte, error) { return edwards.Sign(nil, sum(crypto.SHA512, text), crypto.SHA512) }},
		{p384, func() ([]byte, error) { return p384.Sign(rand.Reader, sum(crypto.SHA384, text), crypto.SHA384) }},
	} {
		sig, err := c.sig()
		if err != nil {
			t.Fatal(err)
		}
		key, err := ReadKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(t, c.key.Public())}))
		if err != nil {
			t.Fatal(err)
		}
		if err := check(key, text, sig); err != nil {
			t.Errorf("%T: %v", c.key, err)
		}
		if err := check(key, []byte("other"), sig); err == nil {
			t.Errorf("%T: another text", c.key)
		}
		sig[len(sig)-1] ^= 1
		if err := check(key, text, sig); err == nil {
			t.Errorf("%T: a changed signature", c.key)
		}
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("Go makes no keys this short any more")
	}
	if _, err := ReadKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(t, weak.Public())})); err == nil {
		t.Error("a key of 1024 bits")
	}
}

// What is no bundle is an error, and never a panic.
func FuzzBundle(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payload":"e30=","payloadType":"x","signatures":[{"sig":"AA=="}]},"verificationMaterial":{"tlogEntries":[{"logIndex":"1","canonicalizedBody":"e30=","inclusionProof":{"hashes":["AA=="]}}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := FromBundle(raw)
		if err != nil {
			return
		}
		trust := &Trust{Logged: true}
		if _, err := trust.Verify(m); err == nil {
			t.Error("verified, and nobody is trusted")
		}
		for _, e := range m.Entries {
			e.about(m) //nolint:errcheck // it has to return
		}
		if m.Envelope != nil {
			if s, err := m.Envelope.Statement(); err == nil && !json.Valid(m.Envelope.Payload) {
				t.Error(s)
			}
		}
	})
}
