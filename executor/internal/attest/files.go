package attest

import (
	"context"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
)

// Files writes what is said of images into a directory: lists of software as they are,
// which tools read, and provenance as a statement.
type Files struct {
	Dir       string // made if it is not there
	Documents *Documents
}

// Write writes what is said of an image, or of an index if img is nil. The names begin
// with the descriptor's platform, if it has one.
func (f *Files) Write(ctx context.Context, at v1.Descriptor, img v1.Image) error {
	all, err := f.Documents.Of(ctx, at, img)
	if err != nil {
		return err
	}
	prefix := ""
	if at.Platform != nil {
		prefix = strings.ReplaceAll(at.Platform.String(), "/", "-") + "."
	}
	for _, p := range all {
		text := func(digest v1.Hash) (string, error) {
			if p.Type != ProvenanceType {
				return string(p.Body), nil
			}
			raw, err := Statement(p, f.Documents.subject(), digest)
			return string(raw) + "\n", err
		}
		note := &exporter.Note{What: "attestation", Path: filepath.Join(f.Dir, prefix+p.File), Text: text}
		if err := note.Write(ctx, at.Digest); err != nil {
			return err
		}
	}
	return nil
}

// subject is the name of the image in a file.
func (d *Documents) subject() string {
	if d.Name == "" {
		return "image"
	}
	return d.Name
}
