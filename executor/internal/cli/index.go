package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

const (
	maxManifest = 4 << 20 // bytes of a manifest, as registries take them
	maxNames    = 1 << 20 // bytes of a file with names of images
)

func indexCommand(env *command.Env, clouds Clouds) *cobra.Command {
	x := &indexer{env: env, clouds: clouds, out: outputFlags{level: -1}}
	cmd := &cobra.Command{
		Use:   "index [IMAGE...]",
		Short: "Join images for several platforms under one name",
		Long: `index makes an image index of images that are in registries already, one for each
platform, and pushes it. Builds on machines of these platforms push an image each,
under any tag, and leave its name with --image-name-with-digest-file; index joins
them. An image that is elsewhere is copied into the destination's repository. Of an
index all images are taken.`,
		Example: `  executor index --destination example.com/app:1 example.com/app:1-amd64 example.com/app:1-arm64
  executor index --destination example.com/app:1 --image-file amd64/name --image-file arm64/name`,
		RunE: func(cmd *cobra.Command, images []string) error {
			if err := x.check(images); err != nil {
				return command.UsageError(cmd, "%v", err)
			}
			return x.run(cmd.Context(), images)
		},
	}
	x.bind(cmd.Flags())
	return cmd
}

// indexer is one invocation of executor index.
type indexer struct {
	env      *command.Env
	client   *registry.Client
	out      outputFlags
	signing  signingFlags
	files    []string
	registry registry.Options
	keychain keychain.Options
	clouds   Clouds
	trace    trace.Flags
}

func (x *indexer) bind(fs *pflag.FlagSet) {
	fs.StringArrayVar(&x.files, "image-file", nil, "`file` with names of images, one a line, as --image-name-with-digest-file writes them; repeatable")
	x.out.bindPlaces(fs)
	x.out.bindNotes(fs)
	x.out.bindManifest(fs)
	x.signing.bind(fs)
	x.registry.Bind(fs)
	x.registry.BindPush(fs)
	x.keychain.Bind(fs)
	x.trace.Bind(fs)
}

func (x *indexer) check(images []string) error {
	switch {
	case len(images) == 0 && len(x.files) == 0:
		return errors.New("no images to join: name them, or files with their names by --image-file")
	case len(x.out.destinations) == 0 && x.out.layout == "":
		return errors.New("no --destination to push to")
	}
	if err := x.out.check(); err != nil {
		return err
	}
	if err := x.trace.Check(); err != nil {
		return err
	}
	if err := x.signing.check(x.out.pushes()); err != nil {
		return err
	}
	_, err := x.out.form()
	return err
}

func (x *indexer) run(ctx context.Context, images []string) (err error) {
	ctx, tracing, end, err := trace.Begin(ctx, trace.Options{
		Service: "kaniko-executor", Version: command.Release, Files: x.trace, LookupEnv: x.env.LookupEnv,
		Warn: func(err error) { x.env.Log.Warn(err.Error()) },
	}, "index")
	if err != nil {
		return err
	}
	x.env.Page.Trace = tracing.ID(ctx)
	defer func() { err = end(err) }()
	return x.join(ctx, tracing, images)
}

func (x *indexer) join(ctx context.Context, tracing *trace.Provider, images []string) error {
	names, err := x.names(images)
	if err != nil {
		return err
	}
	if err := registry.TrustRoots(); err != nil {
		return err
	}
	if err := x.registry.Check(); err != nil {
		return err
	}
	x.client = registry.New(registry.Config{
		Options: x.registry, Keychain: keychain.New(x.keychain.From(x.env.Getenv), x.clouds.Credentials), UserAgent: userAgent(x.env.Getenv),
		Warn: func(text string) { x.env.Log.Warn(text) }, Wrap: tracing.Transport, Observe: tracing.Transfers(),
	})
	index, err := x.exporter(ctx)
	if err != nil {
		return err
	}
	members, err := x.open(ctx, names)
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := index.Image(ctx, m.image); err != nil {
			return err
		}
	}
	made, err := index.Finish(ctx)
	if err != nil {
		return err
	}
	x.env.Log.Info(fmt.Sprintf("joined %d images in %s", len(members), made.Digest))
	return nil
}

// exporter is where the index goes. Whether it may go there is asked now.
func (x *indexer) exporter(ctx context.Context) (*exporter.Index, error) {
	form, err := x.out.form()
	if err != nil {
		return nil, err
	}
	c, err := outlet{x.out, x.signing, x.env, x.client, nil}.config(ctx)
	if err != nil {
		return nil, err
	}
	return exporter.NewIndex(c, form), nil
}

// names are the images of the command line and of files.
func (x *indexer) names(images []string) ([]string, error) {
	all := images
	for _, path := range x.files {
		info, err := os.Stat(path)
		if err == nil && info.Size() > maxNames {
			err = fmt.Errorf("larger than %d bytes", maxNames)
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, &imageFileError{path, err}
		}
		found := strings.Fields(string(text))
		if len(found) == 0 {
			return nil, &imageFileError{path, errors.New("it names no image")}
		}
		all = append(all, found...)
	}
	return all, nil
}

// member is an image that is to be joined.
type member struct {
	name     string // as the user named it
	platform v1.Platform
	image    v1.Image
}

// open asks for the images. Two for one platform are an error.
func (x *indexer) open(ctx context.Context, names []string) ([]member, error) {
	var all []member
	seen := map[string]member{}
	for _, n := range names {
		images, err := x.images(ctx, n)
		if err != nil {
			return nil, err
		}
		for _, img := range images {
			d, err := image.Describe(img)
			if err != nil {
				return nil, fmt.Errorf("join %s: %w", n, err)
			}
			m := member{n, registry.Normalize(*d.Platform), img}
			if before, ok := seen[m.platform.String()]; ok {
				return nil, &samePlatformError{before, m}
			}
			seen[m.platform.String()] = m
			all = append(all, m)
		}
	}
	return all, nil
}

// images are the image of a name or, of an index, all that are for a platform.
func (x *indexer) images(ctx context.Context, text string) ([]v1.Image, error) {
	ref, err := x.client.Reference(text)
	if err != nil {
		return nil, err
	}
	m, err := x.client.Manifest(ctx, ref, maxManifest)
	if err != nil {
		return nil, err
	}
	digests := []v1.Hash{m.Digest}
	if m.MediaType.IsIndex() {
		if digests, err = platformed(m.Raw); err != nil {
			return nil, fmt.Errorf("join %s: %w", text, err)
		}
	}
	var all []v1.Image
	for _, d := range digests {
		img, err := x.client.Open(ctx, text, d)
		if err != nil {
			return nil, err
		}
		all = append(all, img)
	}
	return all, nil
}

// platformed are the images of an index, without what is attached to them, such as
// attestations, which is for no platform.
func platformed(raw []byte) ([]v1.Hash, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	var all []v1.Hash
	for _, d := range index.Manifests {
		if d.MediaType.IsImage() && (d.Platform == nil || d.Platform.OS != "unknown") {
			all = append(all, d.Digest)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("it is an index of no images")
	}
	return all, nil
}

// imageFileError is an --image-file that cannot be used.
type imageFileError struct {
	path string
	err  error
}

func (e *imageFileError) Error() string {
	err := e.err
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Sprintf("read names of images from %s: %v", e.path, err)
}

func (e *imageFileError) Unwrap() error { return e.err }

// ExitCode is that of a file which is not there.
func (*imageFileError) ExitCode() int { return int(command.NoInput) }

// samePlatformError is two images for one place in an index.
type samePlatformError struct{ one, other member }

func (e *samePlatformError) Error() string {
	return fmt.Sprintf("join %s and %s: both are for %s", e.one.name, e.other.name, e.one.platform)
}

// ExitCode is that of wrong data.
func (*samePlatformError) ExitCode() int { return int(command.BadData) }

// Hint says what may have gone wrong.
func (*samePlatformError) Hint() string {
	return "was one of them built on the wrong machine, or without --custom-platform?"
}
