package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/verify"
	"github.com/kaniko-suite/kaniko/inspect/internal/verify/report"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// exitFailed is the answer of inspect verify that an image is not what it should be.
const exitFailed = 4

type verifyCommand struct {
	access
	policy    verify.Policy
	file      string
	output    string
	predicate string
}

func verifyImages(env *command.Env) *cobra.Command {
	c := &verifyCommand{}
	cmd := &cobra.Command{
		Use:   "verify REF…",
		Short: "Tell whether images may be released, by a policy",
		Long: `verify checks images, and of an index each of its images, against what flags or a
policy file ask for: the digest, the same digest elsewhere, who signed, how it was
built and from what, lists of software, the base, a second build, layers with an
index, and what the configuration says. What is not asked for is not checked; what
is asked for and cannot be checked has failed.

` + names + ` Signatures and statements
are only found in registries.

Exit codes: 0 if all checks passed; 2 if the command line or the policy is wrong, or
something did not work, so that there is no verdict; 4 if a check failed; 5 if an
image is not there, or the registry does not allow to see it.`,
		Example: `  inspect verify --key cosign.pub --provenance --sbom any registry.example/app:1
  inspect verify --policy release.yaml --output junit registry.example/app@sha256:…`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(); err != nil {
				return command.UsageError(cmd, "%v", err)
			}
			return answered(c.run(cmd.Context(), env, args))
		},
	}
	fs := cmd.Flags()
	c.policy.Bind(fs)
	fs.StringVar(&c.file, "policy", "", "YAML `file` with values of these flags, by their names; the command line overrides it")
	fs.StringVar(&c.output, "output", report.Table, "`form` of what is printed: table, json, markdown or junit")
	fs.StringVar(&c.predicate, "predicate", "", "`file` to write the answer to as well, as JSON, for an attestation that all checks passed; only if they did")
	c.access.bind(fs)
	return cmd
}

// check reads the flags, and the policy file, whose values are checked as they are.
func (c *verifyCommand) check() error {
	if !slices.Contains(report.Forms(), c.output) {
		return fmt.Errorf("--output is %q: it must be one of %s", c.output, strings.Join(report.Forms(), ", "))
	}
	if err := c.trace.Check(); err != nil {
		return err
	}
	if c.file != "" {
		if err := c.policy.Read(c.file); err != nil {
			return err
		}
	}
	return c.policy.Check()
}

func (c *verifyCommand) run(ctx context.Context, env *command.Env, names []string) error {
	if err := c.policy.Prepare(); err != nil {
		return toolError{err} // a key that is not there is no image that is not there
	}
	// What an earlier run wrote must not stand for this one.
	if err := os.Remove(c.predicate); c.predicate != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
		return toolError{fmt.Errorf("remove the old predicate: %w", err)}
	}
	return c.within(ctx, env, "verify", func(ctx context.Context, s *session) error {
		found, err := c.verify(ctx, s, names)
		if err != nil {
			return err
		}
		s.shown.Close()
		if err := report.Write(env.Stdout, c.output, found); err != nil {
			return toolError{err}
		}
		if found.Verdict != verify.Pass {
			return command.Status(exitFailed)
		}
		return c.write(found)
	})
}

func (c *verifyCommand) verify(ctx context.Context, s *session, names []string) (_ *verify.Report, err error) {
	spool, err := os.MkdirTemp("", "inspect-verify-*")
	if err != nil {
		return nil, toolError{fmt.Errorf("make a directory for layers: %w", err)}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(spool)) }()
	v := &verify.Verifier{
		Client: s.client, Policy: &c.policy, Spool: spool,
		Checking: func(ctx context.Context, check, platform string) (context.Context, func()) {
			s.env.Log.Debug("check", "what", check, "platform", platform)
			ctx, end := s.tracing.Part(ctx, "verify "+check)
			return ctx, func() { end(nil) }
		},
	}
	return v.Verify(ctx, names)
}

// write writes the file for an attestation. Of a release that failed there is none, nor
// an old one.
func (c *verifyCommand) write(found *verify.Report) error {
	if c.predicate == "" {
		return nil
	}
	var b bytes.Buffer
	if err := report.Write(&b, report.JSON, found); err != nil {
		return toolError{err}
	}
	if err := os.WriteFile(c.predicate, b.Bytes(), 0o644); err != nil {
		return toolError{fmt.Errorf("write the predicate: %w", err)}
	}
	return nil
}
