package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/engine"
)

// maxAnswer bounds what is read of a server's answer to a digest, in bytes.
const maxAnswer = 64 << 10

// A Note is a small file that tells of an image: with its digest, say. It is written
// once the image is where it is to go.
type Note struct {
	What string // for errors, such as "digest file"
	// Path is a file's, or an https URL to which the text is sent by PUT.
	Path string
	// Text is the file's content for an image of this digest.
	Text func(v1.Hash) (string, error)
	// Client sends to URLs; nil is one with the process's proxies and authorities.
	Client *http.Client
}

var _ engine.Exporter = (*Note)(nil)

// DigestFile is the image's digest, such as sha256:9c…, without a newline.
func DigestFile(path string) *Note {
	return &Note{What: "digest file", Path: path, Text: func(h v1.Hash) (string, error) { return h.String(), nil }}
}

// NamesFile is a line NAME@DIGEST for each tag, in their order, where NAME is the
// repository's with its registry or, if tagged is set, that and the tag.
func NamesFile(path string, tags []name.Tag, tagged bool) *Note {
	return &Note{What: "file of image names", Path: path, Text: func(h v1.Hash) (string, error) {
		var text strings.Builder
		for _, t := range tags {
			at := t.Context().Name()
			if tagged {
				at = t.Name()
			}
			fmt.Fprintf(&text, "%s@%s\n", at, h)
		}
		return text.String(), nil
	}}
}

// BuilderOutput is what Google Cloud Build looks for in the directory $BUILDER_OUTPUT:
// a file "images" with a JSON object a line, the name and the digest of what was
// pushed.
func BuilderOutput(dir string, tags []name.Tag) *Note {
	return &Note{What: "builder output", Path: filepath.Join(dir, "images"), Text: func(h v1.Hash) (string, error) {
		var text bytes.Buffer
		for _, t := range tags {
			err := json.NewEncoder(&text).Encode(struct {
				Name   string `json:"name"`
				Digest string `json:"digest"`
			}{t.String(), h.String()})
			if err != nil {
				return "", err
			}
		}
		return text.String(), nil
	}}
}

// Layer does nothing.
func (n *Note) Layer(context.Context, v1.Layer) error { return nil }

// Image writes the file. Errors are an [OutputError].
func (n *Note) Image(ctx context.Context, img v1.Image) error {
	h, err := img.Digest()
	if err != nil {
		return &OutputError{n.What, n.shown(), err}
	}
	return n.Write(ctx, h)
}

// Write writes the file for an image, or an index, of a digest. Errors are an
// [OutputError].
func (n *Note) Write(ctx context.Context, h v1.Hash) error {
	text, err := n.Text(h)
	switch {
	case err != nil:
	case isURL(n.Path):
		err = n.send(ctx, text)
	default:
		err = writeFile(n.Path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
	}
	if err != nil {
		return &OutputError{n.What, n.shown(), err}
	}
	return nil
}

func isURL(path string) bool { return strings.HasPrefix(path, "https://") }

// shown is the path for people: an address may hold a password.
func (n *Note) shown() string {
	if isURL(n.Path) {
		return remote.Redact(n.Path)
	}
	return n.Path
}

// send puts the text to a web server.
func (n *Note) send(ctx context.Context, text string) error {
	own := http.Client{}
	if n.Client != nil {
		own = *n.Client
	}
	own.Transport = &remote.Patient{Base: own.Transport}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, n.Path, strings.NewReader(text))
	if err != nil {
		return errors.New("not a URL")
	}
	req.Header.Set("Content-Type", "text/plain")
	resp, err := own.Do(req)
	if err != nil {
		return bare(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) //nolint:errcheck // so that the connection can be kept
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the server answers %s to PUT", resp.Status)
	}
	return nil
}

// bare is an error of net/http without the address, which is said already and may
// hold a password.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
