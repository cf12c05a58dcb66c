package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/signed"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// build is what a provenance says, of either version
// (https://slsa.dev/spec/v1.0/provenance, https://slsa.dev/provenance/v0.2).
type build struct {
	Definition struct {
		Dependencies []resource `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	Run struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
	// Of version 0.2:
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	Materials []resource `json:"materials"`
}

type resource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

func (b *build) builder() string {
	if b.Run.Builder.ID != "" {
		return b.Run.Builder.ID
	}
	return b.Builder.ID
}

func (b *build) dependencies() []resource { return append(b.Definition.Dependencies, b.Materials...) }

// said is a statement that is good, and where it was found.
type said struct {
	statement *signed.Statement
	facts     []Fact
}

// about are the statements of an image whose predicate is of a kind, which are by who
// has to have signed and about this image; and why others are not.
func (v *Verifier) about(ctx context.Context, s *subject, h v1.Hash, kind func(string) bool) (good []said, reasons []string, err error) {
	all, err := s.attached(ctx, v.Client, h)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range all {
		if a.statement == nil || !kind(a.statement.PredicateType) {
			continue
		}
		_, err := a.statement.About(h.Algorithm, h.Hex)
		var by []Fact
		if err == nil {
			by, err = a.trusted(v.Policy.trust, s.signed)
		}
		if err != nil {
			reasons = append(reasons, a.where+": "+err.Error())
			continue
		}
		good = append(good, said{a.statement, append([]Fact{{"about", h.String()}, {"found at", a.where}, {"predicate", a.statement.PredicateType}}, by...)})
	}
	return good, reasons, nil
}

// provenance checks how an image was built, by its own provenance or else by that of
// the index.
func provenance(ctx context.Context, v *Verifier, s *subject, i source.Image) ([]Fact, error) {
	kind := func(t string) bool { return strings.HasPrefix(t, "https://slsa.dev/provenance/") }
	digests := []v1.Hash{i.Descriptor.Digest}
	if s.Index != nil {
		digests = append(digests, s.Source.Digest)
	}
	base := ""
	if v.Policy.BaseInProvenance {
		named, err := namedBase(s, i)
		if err != nil {
			return nil, err
		}
		if base = named.Digest; base == "" {
			return nil, errors.New("the image does not say the digest of its base")
		}
	}
	var reasons []string
	for _, h := range digests {
		good, bad, err := v.about(ctx, s, h, kind)
		if err != nil {
			return nil, err
		}
		reasons = append(reasons, bad...)
		for _, one := range good {
			facts, err := v.Policy.built(one.statement.Predicate, base)
			if err != nil {
				reasons = append(reasons, err.Error())
				continue
			}
			return append(one.facts, facts...), nil
		}
	}
	return nil, none("provenance", reasons)
}

// built checks what a provenance says. base is the digest of the base that has to be
// among the dependencies; empty if none has to.
func (p *Policy) built(predicate json.RawMessage, base string) ([]Fact, error) {
	var b build
	if err := json.Unmarshal(predicate, &b); err != nil {
		return nil, fmt.Errorf("read the provenance: %w", err)
	}
	facts := []Fact{{"builder", b.builder()}}
	if p.BuilderID != "" && b.builder() != p.BuilderID {
		return nil, fmt.Errorf("the builder is %q, and should be %q", b.builder(), p.BuilderID)
	}
	if p.SourceURI != "" || p.SourceCommit != "" {
		from, err := p.source(b.dependencies())
		if err != nil {
			return nil, err
		}
		facts = append(facts, from...)
	}
	for _, want := range p.Dependencies {
		r, err := find(b.dependencies(), want)
		if err != nil {
			return nil, err
		}
		facts = append(facts, Fact{"dependency", strings.TrimSpace(want + " " + r.URI)})
	}
	if base != "" {
		r, err := find(b.dependencies(), base)
		if err != nil {
			return nil, fmt.Errorf("the base: %w", err)
		}
		facts = append(facts, Fact{"base", strings.TrimSpace(base + " " + r.URI)})
	}
	return facts, nil
}

// source finds the repository that was built, and its commit.
func (p *Policy) source(all []resource) ([]Fact, error) {
	var seen []string
	for _, r := range all {
		commit := r.Digest["gitCommit"]
		if commit == "" {
			commit = r.Digest["sha1"]
		}
		if commit == "" {
			continue // no repository
		}
		if (p.SourceURI == "" || repository(r.URI) == repository(p.SourceURI)) && (p.SourceCommit == "" || commit == p.SourceCommit) {
			return []Fact{{"source", r.URI}, {"commit", commit}}, nil
		}
		seen = append(seen, r.URI+" at "+commit)
	}
	if len(seen) == 0 {
		return nil, errors.New("the provenance names no repository with a commit")
	}
	return nil, fmt.Errorf("the source is %s", strings.Join(seen, ", "))
}

// repository is an address of a repository without how it is fetched and what of it.
func repository(uri string) string {
	uri, _, _ = strings.Cut(uri, "#")
	uri = strings.TrimPrefix(uri, "git+")
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		uri = rest
	}
	host, path, ok := strings.Cut(uri, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:] // a user
	}
	if ok {
		path, _, _ = strings.Cut(path, "@") // a ref
		uri = host + "/" + path
	}
	return strings.TrimSuffix(strings.TrimSuffix(uri, "/"), ".git")
}

// find finds a dependency by its digest.
func find(all []resource, want string) (resource, error) {
	algorithm, value, _ := strings.Cut(want, ":")
	for _, r := range all {
		if value != "" && r.Digest[algorithm] == value {
			return r, nil
		}
	}
	return resource{}, fmt.Errorf("%s is not among what was built from", want)
}
