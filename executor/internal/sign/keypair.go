package sign

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	sigstore "github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/signature"
)

// keypair signs with a private key, the same text always in the same way: ECDSA takes
// its nonce from the text, as RFC 6979 has it, and not from chance. So a build that
// makes the same image again adds no signature.
type keypair struct {
	private crypto.Signer
	public  []byte // DER
	details signature.AlgorithmDetails
	hash    crypto.Hash // 0 for Ed25519, which signs the text itself
}

var _ sigstore.Keypair = (*keypair)(nil)

func newKeypair(private crypto.Signer) (*keypair, error) {
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	details, err := signature.GetDefaultAlgorithmDetails(private.Public())
	if err != nil {
		return nil, err
	}
	k := &keypair{private: private, public: public, details: details, hash: details.GetHashType()}
	return k, nil
}

// sign signs a text.
func (k *keypair) sign(text []byte) (sig, signed []byte, err error) {
	signed = text
	if k.hash != 0 {
		h := k.hash.New()
		h.Write(text)
		signed = h.Sum(nil)
	}
	sig, err = k.private.Sign(nil, signed, k.hash)
	return sig, signed, err
}

func (k *keypair) SignData(_ context.Context, text []byte) (sig, signed []byte, _ error) {
	return k.sign(text)
}

func (k *keypair) GetHashAlgorithm() protocommon.HashAlgorithm { return k.details.GetProtoHashType() }

func (k *keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return k.details.GetSignatureAlgorithm()
}

// GetHint is by which cosign tells keys apart: their SHA-256.
func (k *keypair) GetHint() []byte {
	sum := sha256.Sum256(k.public)
	return []byte(base64.StdEncoding.EncodeToString(sum[:]))
}

func (k *keypair) GetKeyAlgorithm() string {
	switch k.details.GetKeyType() {
	case signature.RSA:
		return "RSA"
	case signature.ED25519:
		return "ED25519"
	}
	return "ECDSA"
}

func (k *keypair) GetPublicKey() crypto.PublicKey { return k.private.Public() }

func (k *keypair) GetPublicKeyPem() (string, error) {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.public})), nil
}
