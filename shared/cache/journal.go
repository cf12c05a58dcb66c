package cache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// journalTime is how a journal's tag writes the end of its build.
const journalTime = "20060102T150405Z"

// TagError says that a journal was left, and that a tag by which it is found could
// not be made to stand for it.
type TagError struct {
	Tag  string // the one that stands for an earlier journal, or for none
	Kept string // the one that the journal is under
	Err  error
}

func (e *TagError) Error() string {
	return fmt.Sprintf("the build's journal is kept as %s, but cannot be found as %s: %v", e.Kept, e.Tag, e.Err)
}

func (e *TagError) Unwrap() error { return e.Err }

// Hint names the usual reason.
func (e *TagError) Hint() string {
	return fmt.Sprintf("if tags of the cache repository cannot be moved, allow that for %s* and %s*", LastPrefix, ImagePrefix)
}

// Record implements [Journals]. Of the steps' texts it keeps the beginning. If only
// the tags that move could not be moved, the error is a [TagError].
func (p *Place) Record(ctx context.Context, j Journal) error {
	tags, err := journalTags(j)
	if err != nil {
		return fmt.Errorf("leave the build's journal: %w", err)
	}
	d, err := p.journalDraft(j)
	if err == nil {
		err = p.put(ctx, d, tags[0])
	}
	if err != nil {
		return fmt.Errorf("leave the build's journal: %w", err)
	}
	raw, err := d.encode()
	if err != nil {
		return err
	}
	var errs []error
	for _, tag := range tags[1:] {
		if err := p.back.tag(ctx, tag, raw); err != nil {
			errs = append(errs, &TagError{Tag: tag, Kept: tags[0], Err: err})
		}
	}
	return errors.Join(append(errs, p.back.settle(ctx))...)
}

// journalTags are the tags of a journal; the first is its own.
func journalTags(j Journal) ([]string, error) {
	if err := checkLineage(j.Lineage); err != nil {
		return nil, err
	}
	if j.Ended.IsZero() {
		return nil, errors.New("it does not say when the build ended")
	}
	random := make([]byte, 4)
	rand.Read(random) // does not fail
	tags := []string{
		JournalPrefix + j.Ended.UTC().Format(journalTime) + "-" + hex.EncodeToString(random),
		LastPrefix + j.Lineage,
	}
	if j.Image == "" {
		return tags, nil
	}
	image, err := v1.NewHash(j.Image)
	if err != nil {
		return nil, fmt.Errorf("the image's digest: %w", err)
	}
	return append(tags, ImagePrefix+image.Hex), nil
}

// checkLineage keeps a lineage from becoming what no tag can be.
func checkLineage(lineage string) error {
	if len(lineage) == 0 || len(lineage) > 64 || strings.Trim(lineage, "0123456789abcdef") != "" {
		return fmt.Errorf("the lineage %.80q is not a hash in hexadecimal digits", lineage)
	}
	return nil
}

func (p *Place) journalDraft(j Journal) (*draft, error) {
	j.Steps = slices.Clone(j.Steps)
	for i := range j.Steps {
		j.Steps[i].Text = excerpt(j.Steps[i].Text)
	}
	raw, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxJournal {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(raw), maxJournal)
	}
	d := newDraft(KindJournal, p.tool, j.Ended)
	d.annotate(AnnotationLineage, j.Lineage)
	d.annotate(AnnotationImage, j.Image)
	if d.Config, err = d.addBytes(raw, JournalType); err != nil {
		return nil, err
	}
	return d, errors.Join(d.addLayer(nil), d.addDefinitions(j.Definitions))
}

// addDefinitions keeps texts beside a journal, each once.
func (d *draft) addDefinitions(texts []cachekey.Definition) error {
	texts = slices.Compact(slices.Sorted(slices.Values(texts)))
	for _, text := range texts {
		if len(text) > maxDefinition {
			continue // it explains nothing to anybody
		}
		desc, err := d.addBytes([]byte(text), DefinitionType)
		if err != nil {
			return err
		}
		d.Layers = append(d.Layers, desc)
	}
	return nil
}

// Last implements [Journals].
func (p *Place) Last(ctx context.Context, lineage string) (*Journal, error) {
	if err := checkLineage(lineage); err != nil {
		return nil, fmt.Errorf("look for the last build's journal: %w", err)
	}
	j, err := p.journal(ctx, LastPrefix+lineage)
	if err == nil && j.Lineage != lineage {
		return nil, p.miss(LastPrefix+lineage, fmt.Errorf("the journal of another lineage, %.80q", j.Lineage))
	}
	return j, err
}

// OfImage implements [Journals].
func (p *Place) OfImage(ctx context.Context, image v1.Hash) (*Journal, error) {
	j, err := p.journal(ctx, ImagePrefix+image.Hex)
	if err == nil && j.Image != image.String() {
		return nil, p.miss(ImagePrefix+image.Hex, fmt.Errorf("the journal of another image, %.80q", j.Image))
	}
	return j, err
}

// journal reads what a tag stands for.
func (p *Place) journal(ctx context.Context, tag string) (*Journal, error) {
	raw, mt, err := p.manifest(ctx, tag)
	if err != nil {
		return nil, err
	}
	m, err := decode(raw, mt, KindJournal, JournalType)
	if err != nil {
		return nil, p.miss(tag, err)
	}
	text, err := p.blob(ctx, m.Config.Digest, maxJournal)
	if err != nil {
		return nil, err
	}
	var j Journal
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, p.miss(tag, fmt.Errorf("a damaged journal: %w", err))
	}
	return &j, nil
}
