// Package verify is the gate of a release: it tells whether an image is what a policy
// asks for, check by check, each with what was looked at. What was not asked for is not
// checked, and what was asked for and cannot be checked has failed.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Verifier checks images against a policy.
type Verifier struct {
	Client *registry.Client
	Policy *Policy
	// Spool is a directory for layers that are read whole.
	Spool string
	// Checking, if not nil, is told of each check that begins; what it returns is called
	// at its end.
	Checking func(ctx context.Context, check, platform string) (context.Context, func())

	report *Report
}

// subject is what one name stands for: an image, or an index of images.
type subject struct {
	*source.Source
	images []source.Image
	// repo is where it is in a registry; nil elsewhere.
	repo *name.Repository
	// signed is set when the signature check has passed: what the digest covers is
	// signed along with it.
	signed bool
	found  map[v1.Hash][]attachment
}

// Verify checks what the names stand for. Errors are those of images that are not there
// and of registries that do not answer: no verdict could be reached.
func (v *Verifier) Verify(ctx context.Context, names []string) (*Report, error) {
	v.report = &Report{Version: ReportVersion, PredicateType: PredicateType, Policy: v.Policy.asked(), Subjects: []Subject{}, Checks: []Check{}}
	for _, n := range names {
		if err := v.subject(ctx, n); err != nil {
			return nil, err
		}
	}
	v.report.conclude()
	return v.report, nil
}

func (v *Verifier) subject(ctx context.Context, spec string) error {
	opened, err := source.Open(ctx, v.Client, spec)
	if err != nil {
		return err
	}
	s := &subject{Source: opened, repo: opened.Repository, found: map[v1.Hash][]attachment{}}
	if s.images, err = opened.Images(nil); err != nil {
		return err
	}
	v.report.Subjects = append(v.report.Subjects, Subject{Name: spec, Digest: opened.Digest.String(), MediaType: string(opened.MediaType)})
	for _, c := range checks() {
		if !c.asked(v.Policy) {
			continue
		}
		if err := c.run(ctx, v, s); err != nil {
			return err
		}
	}
	return nil
}

// check is one kind of check: whether the policy asks for it, and what does it.
type check struct {
	asked func(*Policy) bool
	run   func(context.Context, *Verifier, *subject) error
}

// once makes a check of the whole subject.
func once(name string, do func(context.Context, *Verifier, *subject) ([]Fact, error)) func(context.Context, *Verifier, *subject) error {
	return func(ctx context.Context, v *Verifier, s *subject) error {
		return v.note(ctx, s, name, "", func(ctx context.Context) ([]Fact, error) { return do(ctx, v, s) })
	}
}

// each makes a check of every image.
func each(name string, do func(context.Context, *Verifier, *subject, source.Image) ([]Fact, error)) func(context.Context, *Verifier, *subject) error {
	return func(ctx context.Context, v *Verifier, s *subject) error {
		if len(s.images) == 0 {
			return v.note(ctx, s, name, "", func(context.Context) ([]Fact, error) { return nil, errors.New("the index has no images") })
		}
		for _, i := range s.images {
			if err := v.note(ctx, s, name, platformOf(i), func(ctx context.Context) ([]Fact, error) { return do(ctx, v, s, i) }); err != nil {
				return err
			}
		}
		return nil
	}
}

// checks are all there are, in the order of reports.
func checks() []check {
	return []check{
		{func(p *Policy) bool { return p.Digest != "" }, once("digest", pinned)},
		{func(p *Policy) bool { return len(p.AlsoAt) > 0 }, places},
		{(*Policy).asksSignature, once("signature", signature)},
		{(*Policy).asksProvenance, each("provenance", provenance)},
		{func(p *Policy) bool { return len(p.SBOM) > 0 }, each("sbom", lists)},
		{(*Policy).asksBase, each("base", base)},
		{func(p *Policy) bool { return p.Rebuild != "" }, reproducible},
		{func(p *Policy) bool { return p.EStargz != "" }, each("estargz", indexed)},
		{func(p *Policy) bool { return len(p.Platforms) > 0 }, once("platforms", platforms)},
		{func(p *Policy) bool { return p.NonRoot }, each("non-root", nonRoot)},
		{func(p *Policy) bool { return p.NoSecrets }, each("no-secrets", noSecrets)},
		{func(p *Policy) bool { return len(p.Labels) > 0 }, each("labels", labels)},
		{func(p *Policy) bool { return p.Created != "" }, each("created", created)},
		{func(p *Policy) bool { return p.MaxLayers > 0 }, each("max-layers", maxLayers)},
		{func(p *Policy) bool { return p.MaxSize != "" }, each("max-size", maxSize)},
		{func(p *Policy) bool { return p.NoForeignLayers }, each("no-foreign-layers", noForeign)},
		{func(p *Policy) bool { return p.OCIMediaTypes }, once("oci-media-types", mediaTypes)},
	}
}

// note makes a check and writes down what came of it. The error is one that leaves no
// verdict.
func (v *Verifier) note(ctx context.Context, s *subject, name, platform string, do func(context.Context) ([]Fact, error)) error {
	end := func() {}
	if v.Checking != nil {
		ctx, end = v.Checking(ctx, name, platform)
	}
	facts, err := do(ctx)
	end()
	if fatal(ctx, err) {
		return fmt.Errorf("check %s of %s: %w", name, s.Name, err)
	}
	c := Check{Check: name, Subject: s.Name, Platform: platform, Result: Pass, Evidence: facts}
	var skipped *skip
	switch {
	case errors.As(err, &skipped):
		c.Result, c.Reason = Skip, err.Error()
	case err != nil:
		c.Result, c.Reason = Fail, err.Error()
	}
	v.report.Checks = append(v.report.Checks, c)
	return nil
}

// skip says why a check was not made, and need not be.
type skip struct{ why string }

func (s *skip) Error() string { return s.why }

// fatal tells whether an error says nothing of the image: we were told to stop, or a
// registry does not answer as it should.
func fatal(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	if ctx.Err() != nil {
		return true
	}
	var refused *registry.Error
	if !errors.As(err, &refused) || absent(err) {
		return false
	}
	return refused.Status != http.StatusUnauthorized && refused.Status != http.StatusForbidden && (refused.Status == 0 || refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests)
}

func absent(err error) bool {
	return errors.Is(err, registry.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}

// platformOf names an image's platform; empty if it has none.
func platformOf(i source.Image) string {
	if i.Platform.OS == "" && i.Platform.Architecture == "" {
		return ""
	}
	return i.Platform.String()
}
