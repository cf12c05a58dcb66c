package engine

import (
	"bytes"
	"io"
	"slices"
)

// minSecret is how many bytes a secret, or a line of one, must have to be looked
// for in output: shorter ones would hide what is no secret.
const minSecret = 4

// maxSecretLine bounds the bytes of a secret that are looked for in one piece, and
// so what is held back of a command's output.
const maxSecretLine = 16 << 10

// masked is what stands in place of a secret.
const masked = "***"

// redactor passes on what is written to it, with secrets taken out. Its end may
// look like the beginning of a secret: that is held back until more is written,
// or Flush is called.
type redactor struct {
	to      io.Writer
	secrets [][]byte // longest first
	held    []byte
}

// redact hides secrets from what is written to w: each as a whole, and the lines of
// those that have several, as a private key has.
func redact(w io.Writer, secrets [][]byte) *redactor {
	r := &redactor{to: w}
	for _, s := range secrets {
		r.hide(s)
		for line := range bytes.Lines(s) {
			r.hide(line)
		}
	}
	slices.SortFunc(r.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return r
}

func (r *redactor) hide(s []byte) {
	s = bytes.TrimSpace(s)
	known := func(k []byte) bool { return bytes.Equal(k, s) }
	if len(s) >= minSecret && len(s) <= maxSecretLine && !slices.ContainsFunc(r.secrets, known) {
		r.secrets = append(r.secrets, s)
	}
}

// Write implements [io.Writer].
func (r *redactor) Write(p []byte) (int, error) {
	if r.to == nil {
		return len(p), nil
	}
	text := append(r.held, p...)
	for _, s := range r.secrets {
		text = bytes.ReplaceAll(text, s, []byte(masked))
	}
	cut := len(text) - r.begun(text)
	r.held = bytes.Clone(text[cut:])
	if cut == 0 {
		return len(p), nil
	}
	if _, err := r.to.Write(text[:cut]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// begun is how many bytes at the end of text could be the beginning of a secret.
func (r *redactor) begun(text []byte) int {
	most := 0
	for _, s := range r.secrets {
		for n := min(len(s)-1, len(text)); n > most; n-- {
			if bytes.Equal(text[len(text)-n:], s[:n]) {
				most = n
				break
			}
		}
	}
	return most
}

// Flush passes on what was held back.
func (r *redactor) Flush() error {
	if len(r.held) == 0 || r.to == nil {
		return nil
	}
	_, err := r.to.Write(r.held)
	r.held = nil
	return err
}
