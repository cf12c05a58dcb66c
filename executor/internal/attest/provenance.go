package attest

import (
	"time"
)

const (
	// ProvenanceType is SLSA's for version 1 of provenance.
	ProvenanceType = "https://slsa.dev/provenance/v1"
	// BuildType says how to read the parameters: docs/attestations.md does.
	BuildType = "https://github.com/kaniko-suite/kaniko/blob/main/docs/attestations.md#provenance"
	// BuilderID is who has built, unless the user knows better.
	BuilderID = "https://github.com/kaniko-suite/kaniko/executor"
)

// Build is how an image was built: SLSA's provenance v1
// (https://slsa.dev/spec/v1.0/provenance).
type Build struct {
	External     External
	Internal     Internal
	Dependencies []Resource
	Builder      string            // a URI
	Versions     map[string]string // of the builder's parts
	Invocation   string            // a URI of what CI has of the build; may be empty
	Started      time.Time         // zero leaves both times out
	Finished     time.Time
}

// External is what whoever started the build has chosen.
type External struct {
	Context    Source            `json:"context"`
	Dockerfile string            `json:"dockerfile"`
	Targets    []string          `json:"targets,omitempty"`
	Platforms  []string          `json:"platforms"`
	Arguments  []string          `json:"buildArgs,omitempty"`     // names only, sorted
	Contexts   map[string]string `json:"buildContexts,omitempty"` // addresses by name
}

// Source is a build context.
type Source struct {
	URI     string `json:"uri"` // without credentials
	SubPath string `json:"subPath,omitempty"`
}

// Internal is how the builder was set.
type Internal struct {
	Compression    string   `json:"compression"`
	Level          int      `json:"compressionLevel,omitempty"` // 0 is the default
	Format         string   `json:"imageFormat,omitempty"`
	Reproducible   bool     `json:"reproducible,omitempty"`
	Epoch          *int64   `json:"sourceDateEpoch,omitempty"` // in seconds since 1970
	SingleSnapshot bool     `json:"singleSnapshot,omitempty"`
	SnapshotMode   string   `json:"snapshotMode"`
	Isolation      string   `json:"isolation"`
	IgnoredPaths   []string `json:"ignoredPaths,omitempty"`
	Cache          bool     `json:"cache,omitempty"`
}

// The forms of SLSA.
type (
	provenance struct {
		Definition definition `json:"buildDefinition"`
		Run        run        `json:"runDetails"`
	}
	definition struct {
		Type         string     `json:"buildType"`
		External     External   `json:"externalParameters"`
		Internal     Internal   `json:"internalParameters"`
		Dependencies []Resource `json:"resolvedDependencies"`
	}
	run struct {
		Builder  builder   `json:"builder"`
		Metadata *metadata `json:"metadata,omitempty"`
	}
	builder struct {
		ID      string            `json:"id"`
		Version map[string]string `json:"version,omitempty"`
	}
	metadata struct {
		Invocation string `json:"invocationId,omitempty"`
		Started    string `json:"startedOn,omitempty"`
		Finished   string `json:"finishedOn,omitempty"`
	}
)

// predicate is the build as SLSA has it.
func (b Build) predicate() (Predicate, error) {
	p := provenance{
		Definition: definition{BuildType, b.External, b.Internal, distinct(b.Dependencies)},
		Run:        run{Builder: builder{b.Builder, b.Versions}},
	}
	m := metadata{Invocation: b.Invocation}
	if !b.Started.IsZero() {
		m.Started, m.Finished = b.Started.UTC().Format(time.RFC3339), b.Finished.UTC().Format(time.RFC3339)
	}
	if m != (metadata{}) {
		p.Run.Metadata = &m
	}
	raw, err := compact(p)
	return Predicate{Type: ProvenanceType, File: "provenance.json", Body: raw}, err
}
