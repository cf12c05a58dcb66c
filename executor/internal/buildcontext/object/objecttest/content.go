package objecttest

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"testing"
)

// Content is bytes that do not repeat and compress to nothing less; the same for
// the same seed.
func Content(size int, seed byte) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// Same fails the test unless what r yields is content.
func Same(t testing.TB, r io.Reader, content []byte) {
	t.Helper()
	got := sha256.New()
	n, err := io.Copy(got, r)
	if err != nil {
		t.Fatalf("after %d bytes of %d: %v", n, len(content), err)
	}
	want := sha256.Sum256(content)
	if sum := got.Sum(nil); hex.EncodeToString(sum) != hex.EncodeToString(want[:]) {
		t.Errorf("%d bytes with the SHA-256 %x, and not %d with %x", n, sum, len(content), want)
	}
}
