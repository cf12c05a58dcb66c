package dockerfile

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// convert makes our instruction of the parser's. Options were judged before; a
// test holds the fields used here against those that the parser has.
func convert(src Source, parsed any) (Instruction, error) {
	switch c := parsed.(type) {
	case *instructions.ArgCommand:
		arg := &Arg{Source: src}
		for _, a := range c.Args {
			arg.Declarations = append(arg.Declarations, Declaration{Name: a.Key, Default: a.Value})
		}
		return arg, nil
	case *instructions.EnvCommand:
		return &Env{Source: src, Pairs: pairs(c.Env)}, nil
	case *instructions.LabelCommand:
		return &Label{Source: src, Pairs: pairs(c.Labels)}, nil
	case *instructions.RunCommand:
		cmd, err := command(src, c.ShellDependantCmdLine)
		if err != nil {
			return nil, err
		}
		if cmd.Script == nil && strings.TrimSpace(strings.Join(cmd.Args, "")) == "" {
			return nil, fault(src.At, "RUN has no command")
		}
		offline := instructions.GetNetwork(c) == instructions.NetworkNone
		return &Run{Source: src, Command: cmd, Offline: offline, parsed: c}, nil
	case *instructions.CmdCommand:
		cmd, err := command(src, c.ShellDependantCmdLine)
		return &Cmd{Source: src, Command: cmd}, err
	case *instructions.EntrypointCommand:
		cmd, err := command(src, c.ShellDependantCmdLine)
		return &Entrypoint{Source: src, Command: cmd}, err
	case *instructions.CopyCommand:
		out := &Copy{
			Source: src, From: c.From, Chown: c.Chown, Chmod: c.Chmod,
			Link: c.Link, Parents: c.Parents, Exclude: c.ExcludePatterns,
		}
		return out, out.take(c.SourcesAndDest)
	case *instructions.AddCommand:
		out := &Copy{
			Source: src, Add: true, Chown: c.Chown, Chmod: c.Chmod, Link: c.Link, Exclude: c.ExcludePatterns,
			Checksum: c.Checksum, Unpack: c.Unpack, KeepGitDir: c.KeepGitDir,
		}
		return out, out.take(c.SourcesAndDest)
	case *instructions.WorkdirCommand:
		return &Workdir{Source: src, Path: c.Path}, nil
	case *instructions.UserCommand:
		return &User{Source: src, User: c.User}, nil
	case *instructions.ExposeCommand:
		return &Expose{Source: src, Ports: c.Ports}, nil
	case *instructions.VolumeCommand:
		return &Volume{Source: src, Paths: c.Volumes}, nil
	case *instructions.ShellCommand:
		return &Shell{Source: src, Args: c.Shell}, nil
	case *instructions.HealthCheckCommand:
		if len(c.Health.Test) == 1 && c.Health.Test[0] == "NONE" && strings.Contains(src.Text, "--") {
			return nil, fault(src.At, "HEALTHCHECK NONE takes no options")
		}
		return &Healthcheck{
			Source:        src,
			Test:          c.Health.Test,
			Interval:      c.Health.Interval,
			Timeout:       c.Health.Timeout,
			StartPeriod:   c.Health.StartPeriod,
			StartInterval: c.Health.StartInterval,
			Retries:       c.Health.Retries,
		}, nil
	case *instructions.StopSignalCommand:
		return &StopSignal{Source: src, Signal: c.Signal}, nil
	case *instructions.OnbuildCommand:
		return &Onbuild{Source: src, Trigger: c.Expression}, nil
	case *instructions.MaintainerCommand:
		return &Maintainer{Source: src, Author: c.Maintainer}, nil
	}
	return nil, &Error{At: src.At, Err: &UnsupportedError{Instruction: "instruction", Option: src.Name}}
}

func pairs(in instructions.KeyValuePairs) []Pair {
	var out []Pair
	for _, p := range in {
		out = append(out, Pair{Key: p.Key, Value: p.Value, Legacy: p.NoDelim})
	}
	return out
}

// command puts the bodies of heredocs where the shell reads them. A RUN that is
// only a heredoc has its body as the script, whatever the shell makes of heredocs.
func command(src Source, c instructions.ShellDependantCmdLine) (Command, error) {
	if len(c.Files) == 0 {
		return Command{Args: c.CmdLine, Shell: c.PrependShell}, nil
	}
	if len(c.CmdLine) != 1 || !c.PrependShell {
		return Command{}, fault(src.At, "%s: a heredoc cannot stand in the exec form", src.Name)
	}
	if h := parser.MustParseHeredoc(c.CmdLine[0]); h != nil {
		data := c.Files[0].Data
		if c.Files[0].Chomp {
			data = parser.ChompHeredocContent(data)
		}
		return Command{Shell: true, Script: &Script{Name: c.Files[0].Name, Data: data}}, nil
	}
	var text strings.Builder
	text.WriteString(c.CmdLine[0])
	for _, f := range c.Files {
		fmt.Fprintf(&text, "\n%s%s", f.Data, f.Name)
	}
	return Command{Shell: true, Args: []string{text.String()}}, nil
}

// take fills in what COPY and ADD have in common, and refuses what can be told
// to be wrong before variables are expanded.
func (c *Copy) take(s instructions.SourcesAndDest) error {
	c.Sources, c.Dest = s.SourcePaths, s.DestPath
	for _, in := range s.SourceContents {
		if in.Path == "." || in.Path == ".." || strings.Contains(in.Path, "/") {
			return fault(c.At, "%s: a heredoc's word becomes a file name: %q cannot be one", c.Name, in.Path)
		}
		c.Inline = append(c.Inline, Inline{Name: in.Path, Data: in.Data, Expand: in.Expand})
	}
	for _, s := range c.Sources {
		if err := c.CheckSource(s); err != nil {
			return err
		}
	}
	if strings.Contains(c.From, "$") {
		return &Error{
			At:     c.At,
			Err:    fmt.Errorf("COPY --from=%s: variables are not expanded here", c.From),
			Advice: "write FROM with the variable and AS with a name before this stage, and copy from that name",
		}
	}
	if c.Chmod != "" && !strings.ContainsAny(c.Chmod, "$'\"\\`") {
		if _, err := ParseMode(c.Chmod); err != nil {
			return fault(c.At, "%s: %w", c.Name, err)
		}
	}
	return nil
}

// CheckSource refuses a source that the instruction cannot have.
func (c *Copy) CheckSource(s string) error {
	if what := Remote(s); what != "" && !c.Add {
		return &Error{At: c.At, Err: fmt.Errorf("COPY cannot copy %s: %s", what, s), Advice: "ADD can"}
	}
	return nil
}
