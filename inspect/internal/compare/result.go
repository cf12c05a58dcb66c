// Package compare says what differs between two container images or indexes of them.
// It begins with digests and reads no more than it takes to name every difference:
// manifests, then configurations, then layers, of which only those are read whose
// archives differ, and of indexed ones (eStargz, zstd:chunked) only the index. It
// opens no image itself, prints nothing, and keeps no content beyond the texts that
// it is asked to compare line by line.
package compare

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Difference is one thing that is not the same. What only follows from another
// difference is none: the digest of a manifest whose layer differs, or a format that
// an attribute needs.
type Difference struct {
	Level Level `json:"level"`
	// LayerA and LayerB are the numbers of the layers meant, from 1; 0 if it is none of
	// that side. Trees compared as a whole have no layers.
	LayerA int `json:"layerA,omitempty"`
	LayerB int `json:"layerB,omitempty"`
	// Path is that of a file, with a leading slash, or says which part of a manifest or
	// configuration is meant; empty for the whole.
	Path string `json:"path,omitempty"`
	// Field is what differs: "added" and "removed" of what only one side has, else an
	// attribute such as "mode" or "label.version".
	Field string `json:"field"`
	A     string `json:"a,omitempty"`
	B     string `json:"b,omitempty"`
	// Text is how the content of a text file differs, as a unified diff.
	Text string `json:"text,omitempty"`
	// Ignored is why the difference does not count; empty if it does.
	Ignored string `json:"ignored,omitempty"`
}

// The verdicts.
const (
	Identical = "identical"             // nothing differs
	Equal     = "equal under the rules" // what differs is to be ignored
	Different = "different"
)

// Side is one of the two that are compared.
type Side struct {
	Name      string `json:"name"`
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType,omitempty"`
	Size      int64  `json:"size,omitempty"` // of the layers in a manifest, in bytes
}

// Pair is two images, one of each side, or one that the other side has not got.
type Pair struct {
	// Platform is the index's, such as linux/arm64/v8; empty if there is no index.
	Platform string `json:"platform,omitempty"`
	// Attestation says that they are statements about the platform's image.
	Attestation bool         `json:"attestation,omitempty"`
	A           *Side        `json:"a,omitempty"`
	B           *Side        `json:"b,omitempty"`
	Verdict     string       `json:"verdict"`
	Layers      []LayerPair  `json:"layers,omitempty"`
	Differences []Difference `json:"differences"`
}

// The states of a LayerPair.
const (
	LayerEqual        = "equal"        // the same bytes
	LayerRecompressed = "recompressed" // the same archive, by the configurations
	LayerDiffers      = "different"
	LayerAdded        = "added"
	LayerRemoved      = "removed"
	LayerSplit        = "split" // what was in these layers is in others now
)

// LayerPair is two layers that take each other's place, or one without a counterpart.
type LayerPair struct {
	A         int    `json:"a,omitempty"` // numbers, from 1
	B         int    `json:"b,omitempty"`
	State     string `json:"state"`
	DigestA   string `json:"digestA,omitempty"`
	DigestB   string `json:"digestB,omitempty"`
	SizeA     int64  `json:"sizeA,omitempty"` // compressed, in bytes
	SizeB     int64  `json:"sizeB,omitempty"`
	CreatedBy string `json:"createdBy,omitempty"`
	// Read is what the entries are known from: "index" or "archive"; empty if they were
	// not looked at.
	Read string `json:"read,omitempty"`
}

// Result is all that a comparison found.
type Result struct {
	Version int    `json:"version"` // of this form, which grows but does not change: [ResultVersion]
	Verdict string `json:"verdict"`
	Level   Level  `json:"level"`
	Preset  string `json:"preset"`
	Squash  bool   `json:"squash,omitempty"`
	A       Side   `json:"a"`
	B       Side   `json:"b"`
	// Differences are those of the indexes, or between an index and an image.
	Differences []Difference `json:"differences"`
	Images      []Pair       `json:"images"`
	// Counted and Ignored are how many differences there are in all.
	Counted int `json:"counted"`
	Ignored int `json:"ignored"`
	// Rules say of each rule of the user's how many differences it took away.
	Rules []RuleCount `json:"rules,omitempty"`
	Notes []string    `json:"notes,omitempty"`
}

// ResultVersion is the version of [Result]'s form in JSON.
const ResultVersion = 1

// RuleCount says how many differences a rule was the reason to ignore.
type RuleCount struct {
	Rule  string `json:"rule"`
	Count int    `json:"count"`
}

// All are the differences, each with the pair that it is of, which is nil for those of
// the indexes.
func (r *Result) All() func(yield func(*Pair, *Difference) bool) {
	return func(yield func(*Pair, *Difference) bool) {
		for i := range r.Differences {
			if !yield(nil, &r.Differences[i]) {
				return
			}
		}
		for p := range r.Images {
			for i := range r.Images[p].Differences {
				if !yield(&r.Images[p], &r.Images[p].Differences[i]) {
					return
				}
			}
		}
	}
}

// verdict is that of some differences.
func verdict(all []Difference) string {
	v := Identical
	for _, d := range all {
		if d.Ignored == "" {
			return Different
		}
		v = Equal
	}
	return v
}

// Subject is what one side's name stands for: an image or an index of images.
type Subject struct {
	Name  string
	Image v1.Image
	Index v1.ImageIndex
	// Bare says that the image is files and nothing else, in one layer: it is compared
	// with another by the files that a container starts from.
	Bare bool
}
