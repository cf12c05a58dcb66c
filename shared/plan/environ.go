package plan

import (
	"slices"
	"strings"
)

// defaultPath is the PATH of an image that has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environ is variables in the order in which they were first set.
type environ struct {
	names  []string
	values map[string]string
}

func (e *environ) get(name string) (string, bool) {
	v, ok := e.values[name]
	return v, ok
}

func (e *environ) set(name, value string) {
	if e.values == nil {
		e.values = map[string]string{}
	}
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *environ) clone() environ {
	var c environ
	for _, n := range e.names {
		c.set(n, e.values[n])
	}
	return c
}

// list is the form that a process takes.
func (e *environ) list() []string {
	out := make([]string, 0, len(e.names))
	for _, n := range e.names {
		out = append(out, n+"="+e.values[n])
	}
	return out
}

// setEnv sets a variable in an image config's list, where it is if it is there.
func setEnv(env []string, name, value string) []string {
	entry := name + "=" + value
	for i, e := range env {
		if n, _, _ := strings.Cut(e, "="); n == name {
			env = slices.Clone(env)
			env[i] = entry
			return env
		}
	}
	return append(slices.Clip(env), entry)
}

// proxies are the arguments that every RUN has without an ARG. They stay out of
// history and keys, because they say where the build ran and may hold passwords.
func isProxy(name string) bool {
	switch strings.ToLower(name) {
	case "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy":
		return name == strings.ToLower(name) || name == strings.ToUpper(name)
	}
	return false
}
