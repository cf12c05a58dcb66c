package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/inspect/internal/explain"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// explainFlags are the flags of inspect explain.
type explainFlags struct {
	repos    []string
	format   string
	platform string
	want     *v1.Platform
	access
}

// The values of --format.
const (
	formatText = "text"
	formatJSON = "json"
)

func (f *explainFlags) bind(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.repos, "cache-repo", nil, "`repository` of the layer cache, or oci:DIR; repeatable: the first that knows answers (default IMAGE's repository, with /cache)")
	fs.StringVar(&f.format, "format", formatText, "`form` of what is printed: text or json")
	fs.StringVar(&f.platform, "platform", "linux/"+runtime.GOARCH, "`platform` of the image, if IMAGE is an index of several")
	f.access.bind(fs)
}

func explainCommand(env *command.Env) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain KEY KEY | KEY | IMAGE",
		Short: "Tell why a step was done or was found in the layer cache",
		Long: `explain tells what differs between what two keys of the layer cache stand for:
why a step that had the first was not found with the second.

With one key it prints what the key stands for: the text of which the key is the
SHA-256. With an image, a reference or a digest, it looks for what the image's
build left word of, and prints for each step what the cache was to it: hit (its
entry was taken), made (it was done, and left an entry), done (it was done, and
left none) or skipped (nothing needed it); and for those that were done, why.

A digest is first taken for an image's, then for a key.

Exit codes: 0 if there was an answer, whatever it is; 2 if the command line is
wrong or something did not work; 5 if what was asked for is not there, or the
registry does not allow to see it.`,
		Example: `  inspect explain --cache-repo registry.example/app/cache registry.example/app:1
  inspect explain --cache-repo oci:/var/cache/kaniko KEY KEY`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			question, err := f.question(args)
			if err != nil {
				return command.UsageError(cmd, "%v", err)
			}
			return answered(f.within(cmd.Context(), env, cmd.Name(), func(ctx context.Context, s *session) error {
				return (&explainer{explainFlags: f, session: s}).explain(ctx, question)
			}))
		},
	}
	f.bind(cmd.Flags())
	return cmd
}

// question is what is asked: two keys, one, or an image. Of a digest that may be both,
// both are set.
type question struct {
	keys   []cachekey.Key
	digest v1.Hash // of an image; zero if only ref is known, or none is asked for
	ref    string  // to find the digest by; empty if that is all there is
}

// question reads the arguments.
func (f *explainFlags) question(args []string) (q question, err error) {
	if f.format != formatText && f.format != formatJSON {
		return q, fmt.Errorf("--format is %q: it must be %s or %s", f.format, formatText, formatJSON)
	}
	if err := f.trace.Check(); err != nil {
		return q, err
	}
	if f.want, err = readPlatform(f.platform); err != nil {
		return q, err
	}
	if f.want == nil {
		p := ours()
		f.want = &p
	}
	for _, arg := range args {
		key, err := cachekey.ParseKey(arg)
		switch {
		case err == nil:
			q.keys = append(q.keys, key)
		case len(args) > 1:
			return q, fmt.Errorf("%w; inspect explain --format json IMAGE shows them in full", err)
		}
	}
	if len(q.keys) == 0 {
		q.ref = args[0]
		if ref, err := name.NewDigest(args[0], name.WeakValidation); err == nil {
			q.digest, err = v1.NewHash(ref.DigestStr())
			if err != nil {
				return q, err
			}
		}
	} else if strings.HasPrefix(args[0], "sha256:") {
		q.digest = v1.Hash{Algorithm: "sha256", Hex: string(q.keys[0])}
	}
	if len(f.repos) == 0 && q.ref == "" {
		return q, errors.New("--cache-repo is missing: a key does not tell where its cache is")
	}
	return q, nil
}

type explainer struct {
	explainFlags
	*session
}

func (e *explainer) explain(ctx context.Context, q question) error {
	caches, err := e.caches(q)
	if err != nil {
		return err
	}
	answer, err := e.answer(ctx, caches, q)
	if err != nil {
		return err
	}
	e.unveil()
	if e.format == formatJSON {
		return explain.WriteJSON(e.env.Stdout, answer)
	}
	return explain.WriteText(e.env.Stdout, answer)
}

// caches opens the caches to be asked.
func (e *explainer) caches(q question) (explain.Caches, error) {
	repos := e.repos
	if len(repos) == 0 {
		ref, err := e.client.Reference(q.ref)
		if err != nil {
			return nil, err
		}
		repos = []string{ref.Context().Name() + "/cache"}
	}
	var all explain.Caches
	for _, repo := range repos {
		place, err := cache.Open(repo, e.client, cache.Options{ReadOnly: true})
		if err != nil {
			return nil, err
		}
		all = append(all, place)
	}
	return all, nil
}

func (e *explainer) answer(ctx context.Context, c explain.Caches, q question) (explain.Answer, error) {
	switch {
	case len(q.keys) == 2:
		return c.Compare(ctx, q.keys[0], q.keys[1])
	case q.digest == v1.Hash{} && q.ref == "":
		return c.Definition(ctx, q.keys[0])
	case q.digest == v1.Hash{}:
		return e.resolved(ctx, c, q)
	}
	answer, err := c.Build(ctx, q.digest)
	var missing *explain.NotFoundError
	switch {
	case err == nil:
		return answer, nil
	case !errors.As(err, &missing):
		return nil, err
	case q.ref != "":
		return e.resolved(ctx, c, q) // of an index, it may be an image in it
	}
	definition, other := c.Definition(ctx, q.keys[0])
	if other != nil {
		return nil, err
	}
	return definition, nil
}

// resolved is the answer for the image that a reference names.
func (e *explainer) resolved(ctx context.Context, c explain.Caches, q question) (explain.Answer, error) {
	img, err := e.client.Resolve(ctx, q.ref, *e.want)
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	return c.Build(ctx, digest)
}
