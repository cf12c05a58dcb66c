package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// maxKey bounds what is read of a file with a key or a password, in bytes.
const maxKey = 64 << 10

// The names in a directory that a Kubernetes secret is mounted as, which are those that
// cosign gives the parts of such a secret.
const (
	keyInSecret      = "cosign.key"
	passwordInSecret = "cosign.password"
)

// passwordVariable is where cosign looks for the password.
const passwordVariable = "COSIGN_PASSWORD"

// scheme of a key that is in the environment.
const inEnvironment = "env://"

// KeyOptions say where a key is.
type KeyOptions struct {
	// Key is a file, env:// and the name of a variable, or the directory that a
	// Kubernetes secret with the files cosign.key and cosign.password is mounted as.
	Key string
	// PasswordFile has the key's password; if it is empty, the secret's directory or
	// COSIGN_PASSWORD have. A newline at its end does not count.
	PasswordFile string
	LookupEnv    func(string) (string, bool)
}

// readKey reads a private key in cosign's own encrypted form or in plain PEM.
func readKey(o KeyOptions) (crypto.Signer, error) {
	text, err := o.read()
	if err != nil {
		return nil, o.failed(err, exitNoInput, "")
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, o.failed(errors.New("it is not in PEM"), exitData, "name the private key, as cosign generate-key-pair writes it to cosign.key")
	}
	switch block.Type {
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		password, from, err := o.password()
		if err != nil {
			return nil, err
		}
		if block.Bytes, err = encrypted.Decrypt(block.Bytes, password); err != nil {
			return nil, o.locked(from, err)
		}
		block.Type = "PRIVATE KEY"
	}
	key, err := parseKey(block)
	if err != nil {
		return nil, o.failed(err, exitData, "")
	}
	return key, nil
}

// locked is the error of a key that the password does not open. The cause is not told
// but for what is wrong with the form.
func (o KeyOptions) locked(from string, err error) error {
	if strings.Contains(err.Error(), "JSON") || strings.Contains(err.Error(), "unsupported") {
		return o.failed(fmt.Errorf("what is encrypted is damaged: %w", err), exitData, "")
	}
	if from == "" {
		return o.failed(errors.New("it is encrypted, and there is no password"), exitCredentials,
			"give --sign-password-file, or put the password into "+passwordVariable)
	}
	return o.failed(fmt.Errorf("the password of %s does not open it", from), exitCredentials, "")
}

// read is the text of the key.
func (o KeyOptions) read() ([]byte, error) {
	if variable, ok := strings.CutPrefix(o.Key, inEnvironment); ok {
		text, there := o.LookupEnv(variable)
		if !there {
			return nil, errors.New("there is no such variable")
		}
		return []byte(text), nil
	}
	return readSmall(o.path())
}

// path is the file of the key.
func (o KeyOptions) path() string {
	if o.isSecret() {
		return filepath.Join(o.Key, keyInSecret)
	}
	return o.Key
}

func (o KeyOptions) isSecret() bool {
	if strings.HasPrefix(o.Key, inEnvironment) {
		return false
	}
	info, err := os.Stat(o.Key)
	return err == nil && info.IsDir()
}

// password is the key's, and where it came from; an empty one from nowhere if there is
// none. It is never asked for: nobody sits in front of a build.
func (o KeyOptions) password() (password []byte, from string, _ error) {
	path := o.PasswordFile
	if path == "" && o.isSecret() {
		path = filepath.Join(o.Key, passwordInSecret)
	}
	if path != "" {
		text, err := readSmall(path)
		if o.PasswordFile == "" && errors.Is(err, fs.ErrNotExist) {
			path = ""
		} else if err != nil {
			return nil, "", &Error{Attempt: "read the password of the signing key from " + path, Err: plain(err), code: exitNoInput}
		} else {
			return bytes.TrimRight(text, "\r\n"), path, nil
		}
	}
	text, ok := o.LookupEnv(passwordVariable)
	if !ok {
		return nil, "", nil
	}
	return []byte(text), passwordVariable, nil
}

func (o KeyOptions) failed(err error, code int, hint string) error {
	return &Error{Attempt: "read the signing key " + o.Key, Err: plain(err), code: code, hint: hint}
}

// parseKey is a private key of a kind that signatures are made with.
func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("it is encrypted in another way than cosign's; cosign import-key-pair makes one of it")
	default:
		return nil, fmt.Errorf("it is a %s", strings.ToLower(block.Type))
	}
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k, nil
	case *rsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("it is a %T, and ECDSA, RSA and Ed25519 keys can sign", key)
}

// readSmall reads a file of no more than maxKey bytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	if err == nil && len(text) > maxKey {
		err = fmt.Errorf("larger than %d bytes", maxKey)
	}
	return text, err
}

// plain leaves out the path that the attempt names already.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
