package signed

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// signer tells whether a text in PEM is m's certificate, or, if it has none, a key by
// which its signature is good.
func (m *Material) signer(text []byte) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	if m.Leaf != nil {
		return bytes.Equal(block.Bytes, m.Leaf.Raw)
	}
	return checksDER(block.Bytes, m)
}

func checksDER(der []byte, m *Material) bool {
	key, err := usable(x509.ParsePKIXPublicKey(der))
	return err == nil && check(key, m.Text, m.Signature) == nil
}

// separator begins the signatures of a checkpoint (https://c2sp.org/signed-note).
const separator = "\n\n— "

func signedNote(text string) bool { return strings.Contains(text, separator) }

// included checks that the entry is in the tree of which the log has signed the root.
func (e *Entry) included(key crypto.PublicKey) error {
	size, root, err := checkpoint(e.Proof.Checkpoint, key)
	if err != nil {
		return fmt.Errorf("the checkpoint of the log: %w", err)
	}
	if size != e.Proof.Size || len(e.Proof.Root) > 0 && !bytes.Equal(root, e.Proof.Root) {
		return errors.New("its proof is of another tree than the log has signed")
	}
	got, err := treeRoot(e.Proof.Index, size, leafHash(e.Body), e.Proof.Hashes)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, root) {
		return errors.New("its proof does not lead to the root that the log has signed")
	}
	return nil
}

// checkpoint reads what a log says of its tree, if the log's key signed it
// (https://c2sp.org/tlog-checkpoint).
func checkpoint(text string, key crypto.PublicKey) (size int64, root []byte, err error) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return 0, nil, errors.New("nobody signed it")
	}
	body := text[:i+1] // the last line's end is signed too
	if err := noted(body, strings.Split(text[i+2:], "\n"), key); err != nil {
		return 0, nil, err
	}
	lines := strings.Split(body, "\n")
	if len(lines) < 3 {
		return 0, nil, errors.New("it has no size and root")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return 0, nil, fmt.Errorf("read the size: %w", err)
	}
	root, err = base64.StdEncoding.DecodeString(lines[2])
	return size, root, err
}

// noted tells whether one of the lines of signatures is the key's. The first four bytes
// of each are a hint to the key, of which there is one here.
func noted(body string, lines []string, key crypto.PublicKey) error {
	for _, line := range lines {
		words := strings.Fields(strings.TrimPrefix(line, "— "))
		if len(words) != 2 {
			continue
		}
		sig, err := base64.StdEncoding.DecodeString(words[1])
		if err == nil && len(sig) > 4 && check(key, []byte(body), sig[4:]) == nil {
			return nil
		}
	}
	return errForged
}

func leafHash(body []byte) []byte {
	h := sha256.Sum256(append([]byte{0}, body...))
	return h[:]
}

func nodeHash(left, right []byte) []byte {
	h := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return h[:]
}

// treeRoot is the root that a proof of inclusion leads to: RFC 9162, section 2.1.3.2.
func treeRoot(index, size int64, leaf []byte, hashes [][]byte) ([]byte, error) {
	if index < 0 || index >= size {
		return nil, fmt.Errorf("its proof is of the entry %d in a tree of %d", index, size)
	}
	fn, sn := index, size-1
	for _, p := range hashes {
		if sn == 0 {
			return nil, errors.New("its proof is too long")
		}
		if fn&1 == 1 || fn == sn {
			leaf = nodeHash(p, leaf)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			leaf = nodeHash(leaf, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return nil, errors.New("its proof is too short")
	}
	return leaf, nil
}
