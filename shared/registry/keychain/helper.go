package keychain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// noCredentials is what helpers say, on their standard output, of a server that
// they know nothing of.
const noCredentials = "credentials not found in native keychain"

// fresh is how long a helper's answer is used. Tokens that helpers hand out live
// for an hour and more; asking for each request would start a process each time.
const fresh = 5 * time.Minute

// helperPatience bounds how long a helper may take.
const helperPatience = time.Minute

// kanikoDir is where kaniko's images keep helper programs.
const kanikoDir = "/kaniko"

// askHelper asks the program that is configured for a registry, if there is one. own
// says whether the file has an entry for the registry too.
func (d *Docker) askHelper(ctx context.Context, path string, c *config, r authn.Resource, own bool) (vouched, []string, error) {
	host := canonical(r.RegistryStr())
	name, key := c.helper(host)
	general := name == ""
	if general {
		name, key = c.CredsStore, server(host)
	}
	if name == "" {
		return nil, nil, nil
	}
	if _, err := find(name, d.programs); err != nil {
		if s := d.replaces(name); s != nil {
			a, why, err := s.resolve(ctx, r)
			if why == nil && a == nil {
				why = []string{fmt.Sprintf("%s: knows nothing of %s", program(name), r.RegistryStr())}
			}
			return a, why, err
		}
		if general && own {
			// The store of the machine on which the file was written, which this one
			// need not have.
			return nil, nil, nil
		}
	}
	h := d.helper(path, name, key)
	switch a, err := h.AuthorizationContext(ctx); {
	case err != nil:
		return nil, nil, err
	case *a == (authn.AuthConfig{}):
		return nil, []string{fmt.Sprintf("%s: knows nothing of %s", program(name), r.RegistryStr())}, nil
	}
	return h, nil, nil
}

// replaces is the built-in source that does the work of a program, nil without one.
func (d *Docker) replaces(name string) source {
	for _, b := range d.inside {
		if slices.Contains(b.programs, name) {
			return b.source
		}
	}
	return nil
}

// helper finds the helper of a registry, and what the registry is called there.
func (c *config) helper(host string) (name, key string) {
	keys := make([]string, 0, len(c.CredHelpers))
	for k := range c.CredHelpers {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if canonical(k) == host && c.CredHelpers[k] != "" {
			if host == "index.docker.io" {
				return c.CredHelpers[k], authn.DefaultAuthKey
			}
			return c.CredHelpers[k], k
		}
	}
	return "", ""
}

// helper returns what asks a program for a server.
func (d *Docker) helper(path, name, key string) *renewed {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := name + "\x00" + key
	h, ok := d.helpers[id]
	if !ok {
		asked := &helper{path: path, name: name, server: key, dir: d.programs}
		h = newRenewed(program(name)+", named in "+path, asked.get)
		if d.helpers == nil {
			d.helpers = make(map[string]*renewed)
		}
		d.helpers[id] = h
	}
	return h
}

// server is what a registry is called when a helper is asked for it.
func server(host string) string {
	if host == "index.docker.io" {
		return authn.DefaultAuthKey
	}
	return host
}

func program(name string) string { return "docker-credential-" + name }

// find is where a helper program is: on PATH or in dir, if that is not empty.
func find(name, dir string) (string, error) {
	path, err := exec.LookPath(program(name))
	if err != nil && dir != "" {
		path, err = exec.LookPath(filepath.Join(dir, program(name)))
	}
	return path, err
}

// helper is a program that keeps the credentials of one server.
type helper struct {
	path   string // of the config.json that names it
	name   string // without docker-credential-
	server string
	dir    string // where it may be beside PATH
}

// get asks the program. The answer is empty for a server it does not know.
func (h *helper) get(ctx context.Context) (Token, error) {
	until := time.Now().Add(fresh + margin)
	out, err := h.run(ctx, "", "get", h.server)
	var said *complaint
	switch {
	case errors.As(err, &said) && strings.Contains(strings.ToLower(said.out), noCredentials):
		return Token{Until: until}, nil
	case err != nil:
		return Token{}, err
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return Token{}, h.fail("", errors.New("its answer is not JSON"), exitCredentials, h.try())
	}
	switch answer.Username {
	case "<token>":
		return Token{Auth: authn.AuthConfig{Username: answer.Username, IdentityToken: answer.Secret}, Until: until}, nil
	case "":
		return Token{Until: until}, nil
	}
	return Token{Auth: authn.AuthConfig{Username: answer.Username, Password: answer.Secret}, Until: until}, nil
}

// complaint is a program that failed.
type complaint struct {
	err error
	out string // what it said on its standard output, where helpers say why
}

func (c *complaint) Error() string { return c.err.Error() }
func (c *complaint) Unwrap() error { return c.err }

// run runs the program for one action and returns what it says. verb is the action for
// people; empty is to get.
func (h *helper) run(ctx context.Context, verb, action, input string) ([]byte, error) {
	path, err := find(h.name, h.dir)
	if err != nil {
		return nil, h.fail(verb, errors.New(h.absent()), exitConfig,
			fmt.Sprintf("install %s, or take it out of %s", program(h.name), h.path))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, helperPatience, fmt.Errorf("no answer within %v", helperPatience))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, action)
	cmd.Stdin = strings.NewReader(input)
	// What the helper has started ends with it, and must not keep us if it outlives it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, said capped
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, h.fail(verb, context.Cause(ctx), exitCredentials, h.try())
	}
	// Helpers complain on either; on failure neither holds a secret.
	if why := brief(out.String() + " " + said.String()); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	return nil, h.fail(verb, &complaint{err, out.String()}, exitCredentials, h.try())
}

func (h *helper) fail(verb string, err error, code int, hint string) error {
	return &Error{Path: h.path, Helper: program(h.name), Err: err, verb: verb, code: code, hint: hint}
}

func (h *helper) absent() string {
	if h.dir != "" {
		return "the program is not on PATH, nor in " + h.dir
	}
	return "the program is not on PATH"
}

func (h *helper) try() string { return fmt.Sprintf("try: echo %s | %s get", h.server, program(h.name)) }

// capped keeps the first bytes written to it, and takes any number.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if room := maxAnswer - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
