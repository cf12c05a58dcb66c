package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// outputFlags say where the image goes, and what form it has there.
type outputFlags struct {
	destinations []string
	push         toggle
	noPush       bool
	tarPath      string
	layout       string

	digestFile string
	namesFile  string
	taggedFile string

	noCheck   bool
	immutable bool

	annotations []string
	format      string
	compression string
	level       int
	first       string
	priority    layer.Priority // what first names, once it was read
}

func (f *outputFlags) bind(fs *pflag.FlagSet) {
	f.bindPlaces(fs)
	fs.Var(&f.push, "push", "push the image although it is saved with --tarPath; --push=false is --no-push")
	fs.Lookup("push").NoOptDefVal = "true"
	fs.BoolVar(&f.noPush, "no-push", false, "build only")
	fs.StringVar(&f.tarPath, "tarPath", "", "`file` to save the image to, as docker load takes it, instead of pushing it")
	f.bindNotes(fs)
	f.bindManifest(fs)
	fs.StringVar(&f.compression, "compression", "gzip", "`algorithm` that compresses layers: gzip, none, or, which make it an OCI image, zstd, estargz or zstd:chunked")
	fs.IntVar(&f.level, "compression-level", -1, "`level` of the compression: 1 to 9 for gzip and estargz, 1 to 22 for zstd and zstd:chunked, -1 for the default")
	fs.StringVar(&f.first, "estargz-prioritized-files", "", "`file` with a path a line: what lies first in layers of estargz, and is fetched before the image starts")
}

func (f *outputFlags) bindPlaces(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.destinations, "destination", "d", nil, "`reference` to push the image to; repeatable")
	fs.StringVar(&f.layout, "oci-layout-path", "", "`directory` to write the image to, as an OCI layout")
	fs.BoolVar(&f.noCheck, "skip-push-permission-check", false, "do not ask before the build whether the destinations may be pushed to")
	fs.BoolVar(&f.immutable, "push-ignore-immutable-tag-errors", false, "take a tag that is there already and cannot be moved for one that was pushed")
}

func (f *outputFlags) bindNotes(fs *pflag.FlagSet) {
	fs.StringVar(&f.digestFile, "digest-file", "", "`file` or https URL to write the image's digest to")
	fs.StringVar(&f.namesFile, "image-name-with-digest-file", "", "`file` or https URL to write a line REPOSITORY@DIGEST to for each destination")
	fs.StringVar(&f.taggedFile, "image-name-tag-with-digest-file", "", "`file` or https URL to write a line REPOSITORY:TAG@DIGEST to for each destination")
}

func (f *outputFlags) bindManifest(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.annotations, "annotation", nil, "`KEY=VALUE` for the annotations of the manifest, which makes it OCI's; repeatable")
	fs.StringVar(&f.format, "image-format", "", "`format` of the manifest, docker or oci; by default as the base")
}

// check finds what is wrong with the places.
func (f *outputFlags) check() error {
	switch {
	case f.push.on && f.noPush:
		return errors.New("--push and --no-push contradict each other")
	case f.push.on && len(f.destinations) == 0:
		return errors.New("--push needs --destination to push to")
	case len(f.destinations) == 0 && f.tarPath != "" && !f.keptHere():
		return errors.New("--tarPath needs --destination, the name that the image is saved under, or --no-push to save it without a name")
	case len(f.destinations) == 0 && f.tarPath == "" && f.layout == "" && !f.keptHere():
		return errors.New("no --destination to push to; give --no-push to build only")
	case len(f.destinations) == 0 && f.namesFile != "":
		return errors.New("--image-name-with-digest-file needs --destination, whose name it is")
	case len(f.destinations) == 0 && f.taggedFile != "":
		return errors.New("--image-name-tag-with-digest-file needs --destination, whose name it is")
	}
	return nil
}

// checkForm finds what is wrong with the form that the image is to have.
func (f *outputFlags) checkForm() error {
	if _, err := f.layers(); err != nil {
		return err
	}
	_, err := f.form()
	return err
}

// keptHere reports whether the user said that nothing is pushed.
func (f *outputFlags) keptHere() bool { return f.noPush || f.push.given && !f.push.on }

// pushes reports whether the image goes to its destinations. A tarball is instead of
// that, unless the user said otherwise.
func (f *outputFlags) pushes() bool {
	return len(f.destinations) > 0 && !f.keptHere() && (f.tarPath == "" || f.push.on)
}

// layers is how layers are compressed. The list of files is read once: it may be a pipe.
func (f *outputFlags) layers() (layer.Compression, error) {
	c, err := layer.ParseCompression(f.compression, f.level)
	if err != nil {
		return c, fmt.Errorf("--compression: %w", err)
	}
	if f.first == "" {
		return c, nil
	}
	if c.Algorithm != layer.EStargz {
		return c, errors.New("--estargz-prioritized-files is for --compression=estargz")
	}
	if f.priority == (layer.Priority{}) {
		if f.priority, err = readPriority(f.first); err != nil {
			return c, fmt.Errorf("--estargz-prioritized-files: read %s: %w", f.first, err)
		}
	}
	c.First = f.priority
	return c, nil
}

// readPriority reads a list of files.
func readPriority(path string) (layer.Priority, error) {
	r, err := os.Open(path)
	if err != nil {
		var p *os.PathError
		errors.As(err, &p)
		return layer.Priority{}, p.Err
	}
	defer r.Close()
	return layer.ReadPriority(r)
}

// form is that of the manifest.
func (f *outputFlags) form() (image.Form, error) {
	annotations, err := image.ParseAnnotations(f.annotations)
	if err != nil {
		return image.Form{}, fmt.Errorf("--annotation: %w", err)
	}
	form := image.Form{Format: image.Format(f.format), Annotations: annotations}
	if err := form.Check(); err != nil {
		return form, fmt.Errorf("--image-format: %w", err)
	}
	if c, err := f.layers(); err == nil && c.Algorithm.OnlyOCI() {
		if form.Format == image.Docker {
			return form, fmt.Errorf("--image-format=docker has no place for layers of --compression=%s", c.Algorithm)
		}
		form.Format = image.OCI
	}
	return form, nil
}

// outlet is where images go, as the flags say it.
type outlet struct {
	outputFlags
	signing signingFlags
	env     *command.Env
	client  *registry.Client
	// via is what services of sigstore are asked through; nil is HTTP as it is.
	via http.RoundTripper
}

// config is that of the exporter. Whether it may push is asked now, before time is
// spent on what it is to push.
func (o outlet) config(ctx context.Context) (exporter.Config, error) {
	c := exporter.Config{
		NoPush: !o.pushes(), LayoutPath: o.layout, TarPath: o.tarPath, Client: o.client, Pushed: o.pushed,
		SkipCheck: o.noCheck, IgnoreImmutable: o.immutable,
	}
	for _, d := range o.destinations {
		tag, err := o.client.Tag(d)
		if err != nil {
			return c, err
		}
		c.Destinations = append(c.Destinations, tag)
	}
	c.Notes = o.notes(c.Destinations)
	signer, err := o.signing.open(ctx, o.env, o.client, o.via)
	if err != nil {
		return c, err
	}
	if signer != nil {
		c.Attachers = append(c.Attachers, signer)
	}
	if o.tarPath != "" && !o.keptHere() && !o.pushes() {
		o.env.Log.Info("--tarPath saves the image and pushes nothing; give --push to have both")
	}
	return c, c.Check(ctx)
}

// notes are the small files that tell of the image.
func (o outlet) notes(tags []name.Tag) []*exporter.Note {
	var all []*exporter.Note
	if o.digestFile != "" {
		all = append(all, exporter.DigestFile(o.digestFile))
	}
	if o.namesFile != "" {
		all = append(all, exporter.NamesFile(o.namesFile, tags, false))
	}
	if o.taggedFile != "" {
		all = append(all, exporter.NamesFile(o.taggedFile, tags, true))
	}
	if dir := o.env.Getenv("BUILDER_OUTPUT"); dir != "" && o.pushes() {
		all = append(all, exporter.BuilderOutput(dir, tags))
	}
	return all
}

func (o outlet) pushed(r exporter.Result) {
	switch {
	case r.Kept != nil:
		o.env.Log.Info("not pushed, since the tag is there already: " + r.Kept.Error())
	case r.Err == nil:
		o.env.Log.Info("pushed " + r.Tag.Name() + "@" + r.Digest.String())
	}
}

// toggle is a flag that may be on, off, or not given.
type toggle struct{ given, on bool }

// Set implements [pflag.Value].
func (t *toggle) Set(text string) error {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	*t = toggle{true, on}
	return nil
}

// Type implements [pflag.Value].
func (t *toggle) Type() string { return "bool" }

func (t *toggle) String() string {
	if !t.given {
		return ""
	}
	return strconv.FormatBool(t.on)
}
