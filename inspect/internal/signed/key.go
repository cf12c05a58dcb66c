package signed

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that signatures may be made of
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// minRSA is the shortest key of RSA that counts, in bits.
const minRSA = 2048

// ReadKey reads a public key in PEM: PKIX, or a certificate, of which only the key is
// taken.
func ReadKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return usable(x509.ParsePKIXPublicKey(block.Bytes))
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return usable(cert.PublicKey, nil)
	}
	return nil, fmt.Errorf("it is a %s, not a PUBLIC KEY", block.Type)
}

func usable(key any, err error) (crypto.PublicKey, error) {
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key, nil
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("an RSA key of %d bits is too short", k.N.BitLen())
		}
		return key, nil
	}
	return nil, fmt.Errorf("a key of the kind %T is not known", key)
}

// Fingerprint is the SHA-256 of a key in PKIX, by which keys are told apart.
func Fingerprint(key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(sum(crypto.SHA256, der))
}

func sum(h crypto.Hash, text []byte) []byte {
	w := h.New()
	w.Write(text)
	return w.Sum(nil)
}

// errForged is a signature that is not the key's.
var errForged = errors.New("it is not a signature of that text by that key")

// hashes are those that a signature may be made of. Which it was is nowhere signed;
// each is as good.
func hashes() []crypto.Hash { return []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} }

// check tells whether sig is the key's for a text.
func check(key crypto.PublicKey, text, sig []byte) error {
	if key, ok := key.(ed25519.PublicKey); ok {
		if ed25519.Verify(key, text, sig) || ed25519.VerifyWithOptions(key, sum(crypto.SHA512, text), sig, &ed25519.Options{Hash: crypto.SHA512}) == nil {
			return nil
		}
		return errForged
	}
	for _, h := range hashes() {
		switch key := key.(type) {
		case *ecdsa.PublicKey:
			if ecdsa.VerifyASN1(key, sum(h, text), sig) {
				return nil
			}
		case *rsa.PublicKey:
			if key.N.BitLen() >= minRSA && rsa.VerifyPKCS1v15(key, h, sum(h, text), sig) == nil {
				return nil
			}
		default:
			return fmt.Errorf("a key of the kind %T is not known", key)
		}
	}
	return errForged
}
