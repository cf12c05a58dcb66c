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
	clean, rest := r.mask(text, false)
	r.held = bytes.Clone(rest)
	if len(clean) == 0 {
		return len(p), nil
	}
	if _, err := r.to.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush passes on what was held back.
func (r *redactor) Flush() error {
	if len(r.held) == 0 || r.to == nil {
		return nil
	}
	clean, _ := r.mask(r.held, true)
	r.held = nil
	_, err := r.to.Write(clean)
	return err
}

// mask takes secrets out, at each place the longest. Unless nothing is to follow,
// rest is what may still become a secret, or a longer one.
func (r *redactor) mask(text []byte, last bool) (clean, rest []byte) {
	for len(text) > 0 {
		next := r.next(text)
		clean, text = append(clean, text[:next]...), text[next:]
		if !last && r.begins(text) {
			return clean, text
		}
		n := r.match(text)
		if n > 0 {
			clean = append(clean, masked...)
		} else if n = min(1, len(text)); n > 0 {
			clean = append(clean, text[0])
		}
		text = text[n:]
	}
	return clean, nil
}

// next is where text first has a byte that a secret begins with.
func (r *redactor) next(text []byte) int {
	at := len(text)
	for _, s := range r.secrets {
		if i := bytes.IndexByte(text[:at], s[0]); i >= 0 {
			at = i
		}
	}
	return at
}

// begins reports whether text is the beginning of a secret, and not all of it.
func (r *redactor) begins(text []byte) bool {
	return slices.ContainsFunc(r.secrets, func(s []byte) bool {
		return len(text) > 0 && len(text) < len(s) && bytes.HasPrefix(s, text)
	})
}

// match is how long the longest secret is that text begins with; 0 is none.
func (r *redactor) match(text []byte) int {
	for _, s := range r.secrets {
		if bytes.HasPrefix(text, s) {
			return len(s)
		}
	}
	return 0
}
