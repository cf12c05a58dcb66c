package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/package-url/packageurl-go"
)

// Subject is the image that a document is about, and who writes it.
type Subject struct {
	Name     string    // of the image, without tag; its last part is used
	Digest   v1.Hash   // of its manifest
	Platform string    // os/arch[/variant]
	Created  time.Time // when the image says that it was made: a document knows no later time
	Tool     string    // that writes the document
	Version  string    // of Tool
}

// purl is the image's package URL.
func (s Subject) purl() string {
	q := map[string]string{}
	if s.Platform != "" {
		q["platform"] = s.Platform
	}
	return packageurl.NewPackageURL("oci", "", s.base(), s.Digest.String(), packageurl.QualifiersFromMap(q), "").ToString()
}

// base is the last part of the name.
func (s Subject) base() string {
	name := s.Name
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			name = name[i+1:]
			break
		}
	}
	if name == "" {
		return "image"
	}
	return name
}

// at is the time in the form that both formats have.
func (s Subject) at() string {
	at := s.Created.UTC()
	if at.Year() < 1 || at.Year() > 9999 || at.IsZero() {
		at = time.Unix(0, 0).UTC()
	}
	return at.Format("2006-01-02T15:04:05Z")
}

// fingerprint is the hash of all that a document of this subject says: two documents
// have the same name only if they are the same.
func (s Subject) fingerprint(inv *Inventory) ([sha256.Size]byte, error) {
	all, err := json.Marshal(struct {
		Subject   Subject
		Inventory *Inventory
	}{s, inv})
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("write a list of software: %w", err)
	}
	return sha256.Sum256(all), nil
}

// short is a name for something in a document, made of its package URL.
func short(purl string) string {
	sum := sha256.Sum256([]byte(purl))
	return hex.EncodeToString(sum[:8])
}
