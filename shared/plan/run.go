package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// pipes is where a command sees the files that its RUN brings along.
const pipes = "/dev/pipes/"

func (b *builder) run(in *dockerfile.Run) error {
	op := Run{
		Args:    slices.Clone(in.Args),
		Dir:     b.absolute(""),
		User:    b.config.Config.User,
		Offline: in.Offline,
	}
	var err error
	if op.Mounts, err = b.mounts(in); err != nil {
		return err
	}
	if s := in.Script; s != nil {
		if strings.HasPrefix(s.Data, "#!") {
			if s.Name == "." || s.Name == ".." || strings.Contains(s.Name, "/") {
				return fmt.Errorf("a heredoc's word becomes a file name: %q cannot be one", s.Name)
			}
			op.Files = []sandbox.File{{Name: s.Name, Mode: 0o755, Data: s.Data}}
			op.Args = []string{pipes + s.Name}
		} else {
			op.Args = []string{s.Data}
		}
	}
	if in.Shell {
		op.Args = append(b.shell(), strings.Join(op.Args, " "))
	}
	env := b.vars.clone()
	op.Unkeyed = b.proxies(&env)
	setAgent(&env, op.Mounts)
	op.Env = env.list()
	b.step(op, "RUN %s%s", b.argsPrefix(), strings.TrimSpace(strings.Join(op.Args, " ")))
	return nil
}

// argsPrefix tells history which arguments a RUN had: their number and values.
func (b *builder) argsPrefix() string {
	if len(b.args) == 0 {
		return ""
	}
	said := fmt.Sprintf("|%d ", len(b.args))
	for _, name := range b.args {
		value, _ := b.vars.get(name)
		said += name + "=" + value + " "
	}
	return said
}

// proxies adds the predefined proxy arguments that were given, in small and in
// capital letters since programs read either, and returns the names added. What
// the Dockerfile itself sets is left as it is.
func (b *builder) proxies(env *environ) []string {
	var added []string
	for _, name := range slices.Sorted(maps.Keys(b.c.o.BuildArgs)) {
		if !isProxy(name) {
			continue
		}
		other := strings.ToLower(name)
		if other == name {
			other = strings.ToUpper(name)
		}
		names := []string{name}
		if _, ok := b.c.o.BuildArgs[other]; !ok {
			names = append(names, other)
		}
		for _, n := range names {
			if _, ok := env.get(n); !ok {
				env.set(n, b.c.o.BuildArgs[name])
				added = append(added, n)
			}
		}
	}
	slices.Sort(added)
	return added
}
