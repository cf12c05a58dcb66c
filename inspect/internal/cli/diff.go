package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/compare/report"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// diffFlags are the flags of inspect diff.
type diffFlags struct {
	level       string
	preset      string
	rules       []string
	output      string
	platform    string
	failOn      []string
	squash      bool
	distinguish bool
	showIgnored bool
	access
}

func (f *diffFlags) bind(fs *pflag.FlagSet) {
	fs.StringVar(&f.level, "level", compare.Files.String(), "how deep to compare: digest, manifest, config, layers, files, or content, which shows lines of texts of at most 1 MiB")
	fs.StringVar(&f.preset, "preset", compare.Strict, "which differences count: strict (all), semantic (those that a container notices), or content (what is run, and files without owners and permissions)")
	fs.StringArrayVar(&f.rules, "rules", nil, "YAML `file` of differences that do not count, and why; repeatable")
	fs.BoolVar(&f.squash, "squash", false, "compare the files that containers start from, not layer by layer")
	fs.StringVar(&f.platform, "platform", "", "`platform` to compare, if an index has several; all of them without")
	fs.StringArrayVar(&f.failOn, "fail-on", nil, "`class` of differences that end in status 1: any, platform, manifest, config, layers, files, or size>N%; repeatable (default any)")
	fs.BoolVar(&f.distinguish, "distinguish-semantic", false, "end in status 3, not 0, if only ignored differences were found")
	fs.BoolVar(&f.showIgnored, "show-ignored", false, "list the differences that do not count as well")
	fs.StringVar(&f.output, "output", report.Table, "`form` of what is printed: table, json, markdown, html or junit")
	f.access.bind(fs)
}

func diffCommand(env *command.Env) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Tell whether two images are the same, and if not, how they differ",
		Long: `diff compares two images, or two indexes platform by platform. It reads as
little as it may: nothing more where digests are the same; of layers only those
whose archives differ, and of these, if they are of estargz or zstd:chunked, only
the index.

A and B are references, oci:DIR, oci:DIR:NAME or oci:DIR@DIGEST, docker-archive:FILE,
tar:FILE or dir:DIR. The last two are a root file system and nothing else, with
which only files are compared.

Exit codes: 0 if nothing differs that counts; 1 if something does; 2 if the
command line is wrong or something did not work; 3, only with
--distinguish-semantic, if there are differences and none counts; 5 if an image
is not there, or the registry does not allow to see it.`,
		Example: `  inspect diff registry.example/app:1 registry.example/app:2
  inspect diff --preset semantic --level content registry.example/app:1 oci:rebuilt
  inspect diff --rules release.yaml --output markdown registry.example/app@sha256:… registry.example/app:2`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := &differ{diffFlags: f, env: env}
			if err := d.check(); err != nil {
				return command.UsageError(cmd, "%v", err)
			}
			if err := d.run(cmd.Context(), args[0], args[1]); err != nil {
				return answered(err)
			}
			return d.status()
		},
	}
	f.bind(cmd.Flags())
	return cmd
}

// differ is one comparison.
type differ struct {
	diffFlags
	env     *command.Env
	options compare.Options
	fails   compare.FailOn
	result  *compare.Result
}

// check reads the flags.
func (d *differ) check() (err error) {
	o := &d.options
	if o.Level, err = compare.ParseLevel(d.level); err != nil {
		return fmt.Errorf("--level: %w", err)
	}
	o.Preset, o.Squash = d.preset, d.squash
	if _, err := compare.PresetRules(d.preset); err != nil {
		return fmt.Errorf("--preset: %w", err)
	}
	if d.fails, err = compare.ParseFailOn(d.failOn); err != nil {
		return fmt.Errorf("--fail-on: %w", err)
	}
	if err := output.Check(d.output, report.Forms()); err != nil {
		return err
	}
	if o.Platform, err = readPlatform(d.platform); err != nil {
		return err
	}
	if d.squash && o.Level < compare.Files {
		return errors.New("--squash is about files: --level must be files or content")
	}
	return d.trace.Check()
}

func (d *differ) readRules() error {
	for _, name := range d.rules {
		file, err := os.Open(name)
		if err != nil {
			return &compare.RulesError{Name: name, Err: err}
		}
		rules, err := compare.ReadRules(name, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		d.options.Rules = append(d.options.Rules, rules...)
	}
	return nil
}

func (d *differ) run(ctx context.Context, a, b string) error {
	if err := d.readRules(); err != nil {
		return toolError{err} // a file of rules that is not there is no image that is not there
	}
	return d.within(ctx, d.env, "diff", func(ctx context.Context, s *session) (err error) {
		if d.result, err = s.compareSources(ctx, a, b, d.options); err != nil {
			return err
		}
		s.unveil()
		if err := report.Write(d.env.Stdout, d.output, d.result, report.Options{Ignored: d.showIgnored}); err != nil {
			return toolError{err}
		}
		return nil
	})
}

// status is the answer as a status, nil if it is 0.
func (d *differ) status() error {
	switch {
	case d.fails.Met(d.result):
		return command.Status(exitNo)
	case d.distinguish && d.result.Verdict == compare.Equal:
		return command.Status(exitEqual)
	}
	return nil
}
