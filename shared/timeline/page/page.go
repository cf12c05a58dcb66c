// Package page shows a build's timeline as one page of HTML that needs nothing from
// elsewhere: no script, no font, no image.
//
// The page is for who owns the build: it shows the text of the Dockerfile and what a
// failing command wrote, as the timeline and the failure have them.
package page

import (
	_ "embed"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/timeline"
)

//go:embed style.css
var styleText string

// Report is what a page shows.
type Report struct {
	Program  string       // name and version of what built
	Names    []string     // of the image
	Digest   string       // of the image or of the index of images; empty if there is none
	Images   []Image      // one for each platform
	Plans    []*plan.Plan // one for each platform; none if the build did not come that far
	Cache    bool         // a layer cache was to be used
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
	Size     int64   // of its configuration and layers, in bytes
	Layers   []Layer // the lowest first
	// Base is what the image is made of, and Below how many layers are that one's.
	Base  string
	Below int
}

// Layer is one of an image's layers.
type Layer struct {
	Digest string
	Size   int64 // in bytes, as a registry has it
}

// ImageOf describes the image that was made of a plan.
func ImageOf(img v1.Image, p *plan.Plan) (Image, error) {
	digest, err := img.Digest()
	if err != nil {
		return Image{}, err
	}
	m, err := img.Manifest()
	if err != nil {
		return Image{}, err
	}
	made := Image{Digest: digest.String(), Size: m.Config.Size}
	for _, l := range m.Layers {
		made.Size += l.Size
		made.Layers = append(made.Layers, Layer{l.Digest.String(), l.Size})
	}
	stage := p.Target
	for stage.Base.Stage != nil {
		stage = stage.Base.Stage
	}
	if base := stage.Base.Image; base != nil {
		made.Base, made.Below = base.Ref, len(base.Config.RootFS.DiffIDs)
	}
	return made, nil
}

// Write writes the page.
func Write(w io.Writer, r Report) error {
	if _, err := io.WriteString(w, render(newView(r))); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
