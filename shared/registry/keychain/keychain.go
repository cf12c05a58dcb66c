// Package keychain finds the credentials for registries where Docker keeps them:
// in config.json and in the helper programs which that names. It says where what
// it found came from, and never what it is.
package keychain

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Exit codes that errors of this package ask for, after sysexits.
const (
	exitCredentials = 77
	exitConfig      = 78
)

// home is where kaniko's own images keep config.json.
const home = "/kaniko/.docker"

const (
	maxConfig = 4 << 20 // bytes of config.json
	maxAnswer = 1 << 20 // bytes that a helper may say
)

// fresh is how long a helper's answer is used. Tokens that helpers hand out live
// for an hour and more; asking for each request would start a process each time.
const fresh = 5 * time.Minute

// helperPatience bounds how long a helper may take.
const helperPatience = time.Minute

// Docker is a keychain that reads what docker login writes. It is safe for use by
// several goroutines at once. Config.json is read each time credentials are looked
// for, so that a file which is renewed during a build counts.
type Docker struct {
	// Dirs are the directories that may hold config.json; the first that does
	// counts.
	Dirs []string

	mu      sync.Mutex
	helpers map[string]*helper // by program and server
}

var _ authn.ContextKeychain = (*Docker)(nil)
var _ authn.Keychain = (*Docker)(nil)

// FromEnvironment looks in $DOCKER_CONFIG if that is set, and otherwise in
// /kaniko/.docker and then in .docker of the home directory. getenv is usually
// [os.Getenv].
func FromEnvironment(getenv func(string) string) *Docker {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return &Docker{Dirs: []string{dir}}
	}
	d := &Docker{Dirs: []string{home}}
	if dir := getenv("HOME"); dir != "" {
		d.Dirs = append(d.Dirs, filepath.Join(dir, ".docker"))
	}
	return d
}

// Error is credentials that are configured and cannot be had.
type Error struct {
	Path   string // of config.json
	Helper string // the program that was asked; empty if none was
	Err    error
	hint   string
	code   int
}

func (e *Error) Error() string {
	if e.Helper != "" {
		return fmt.Sprintf("get credentials from %s, which %s names: %v", e.Helper, e.Path, e.Err)
	}
	return fmt.Sprintf("read credentials from %s: %v", e.Path, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// ExitCode is that of a faulty configuration, or of refused credentials.
func (e *Error) ExitCode() int { return e.code }

// config is what we read of config.json.
type config struct {
	Auths       map[string]entry  `json:"auths"`
	CredsStore  string            `json:"credsStore"`
	CredHelpers map[string]string `json:"credHelpers"`
}

type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// Resolve is ResolveContext for those who have no context.
func (d *Docker) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return d.ResolveContext(context.Background(), r)
}

// ResolveContext finds the credentials for a repository or a registry. What helper
// is configured for the registry comes first, then the general one, then what
// config.json holds itself, there the entry with the longest path in common.
// Without any it is [authn.Anonymous]. Errors are an [Error].
func (d *Docker) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	path, c, err := d.read()
	if err != nil || c == nil {
		return authn.Anonymous, err
	}
	own, ownKey, err := c.find(path, r)
	if err != nil {
		return nil, err
	}
	host := canonical(r.RegistryStr())
	name, key := c.helper(host)
	if name == "" {
		name, key = c.CredsStore, server(host)
		if name != "" && own != nil {
			if _, err := exec.LookPath(program(name)); errors.Is(err, exec.ErrNotFound) {
				// The store of the machine on which the file was written, which this
				// one need not have.
				name = ""
			}
		}
	}
	if name != "" {
		h := d.ask(path, name, key)
		if a, err := h.AuthorizationContext(ctx); err != nil {
			return nil, err
		} else if *a != (authn.AuthConfig{}) {
			return h, nil
		}
	}
	if own == nil {
		return authn.Anonymous, nil
	}
	return &fixed{*own, fmt.Sprintf("%s (entry %s)", path, ownKey)}, nil
}

// read parses the first config.json there is; without one it returns nil.
func (d *Docker) read() (string, *config, error) {
	for _, dir := range d.Dirs {
		path := filepath.Join(dir, "config.json")
		raw, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return path, nil, &Error{Path: path, Err: bare(err), code: exitConfig, hint: "make the file readable, or name another directory in $DOCKER_CONFIG"}
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			return path, &config{}, nil
		}
		c := &config{}
		if err := json.Unmarshal(raw, c); err != nil {
			return path, nil, &Error{Path: path, Err: located(raw, err), code: exitConfig,
				hint: "the file is to be JSON such as docker login writes; a secret mounted for it may hold it in another key or encoded"}
		}
		return path, c, nil
	}
	return "", nil, nil
}

func readFile(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return nil, errors.New("it is a directory")
	}
	if fi.Size() > maxConfig {
		return nil, fmt.Errorf("it is larger than %d bytes", maxConfig)
	}
	return os.ReadFile(path)
}

// bare is an error without the path, which is said already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// located puts a JSON error where it is: its line and column. What stands there
// is not shown, since it may be secret.
func located(raw []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var at int64
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
		err = fmt.Errorf("%q is a JSON %s where it should not be", kind.Field, kind.Value)
	default:
		return err
	}
	before := raw[:min(max(at-1, 0), int64(len(raw)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

// find looks for the resource in the file itself.
func (c *config) find(path string, r authn.Resource) (*authn.AuthConfig, string, error) {
	host := canonical(r.RegistryStr())
	want := host
	if _, repo, ok := strings.Cut(r.String(), "/"); ok {
		want += "/" + repo
	}
	// Sorted so that of two ways to write one place always the same counts.
	keys := make([]string, 0, len(c.Auths))
	for k := range c.Auths {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	best, length := "", -1
	for _, k := range keys {
		place := canonical(k)
		if (want == place || strings.HasPrefix(want, place+"/")) && len(place) > length && c.Auths[k] != (entry{}) {
			best, length = k, len(place)
		}
	}
	if length < 0 {
		return nil, "", nil
	}
	e := c.Auths[best]
	a := &authn.AuthConfig{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth != "" {
		user, password, err := decode(e.Auth)
		if err != nil {
			return nil, "", &Error{Path: path, Err: fmt.Errorf("entry %s: %w", best, err), code: exitConfig,
				hint: "auth is to be user:password in base64, without a line break in it"}
		}
		a.Username, a.Password = user, password
	}
	return a, best, nil
}

func decode(auth string) (user, password string, _ error) {
	raw, err := base64.StdEncoding.DecodeString(auth)
	if err != nil {
		if raw, err = base64.RawStdEncoding.DecodeString(auth); err != nil {
			return "", "", errors.New("auth is not base64")
		}
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok || user == "" {
		return "", "", errors.New("auth holds no user:password")
	}
	return user, strings.TrimRight(password, "\x00"), nil
}

// canonical is a key of config.json, or a registry, as a host and perhaps a path:
// without scheme, without the version of the protocol, and Docker Hub by the one
// name go-containerregistry has for it.
func canonical(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	key = strings.TrimRight(key, "/")
	for _, version := range []string{"/v1", "/v2"} {
		if host, ok := strings.CutSuffix(key, version); ok && !strings.Contains(host, "/") {
			key = host
		}
	}
	host, rest, path := strings.Cut(key, "/")
	host = strings.ToLower(host)
	switch host {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com", "index.docker.io":
		host = "index.docker.io"
	}
	if path {
		return host + "/" + rest
	}
	return host
}

// server is what a registry is called when a helper is asked for it.
func server(host string) string {
	if host == "index.docker.io" {
		return authn.DefaultAuthKey
	}
	return host
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

func program(name string) string { return "docker-credential-" + name }

// fixed are credentials that do not change.
type fixed struct {
	auth   authn.AuthConfig
	source string
}

func (f *fixed) Authorization() (*authn.AuthConfig, error) {
	a := f.auth
	return &a, nil
}

// Source is where the credentials came from.
func (f *fixed) Source() string { return f.source }

// ask returns the helper that knows a server.
func (d *Docker) ask(path, name, key string) *helper {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := name + "\x00" + key
	h, ok := d.helpers[id]
	if !ok {
		h = &helper{path: path, program: program(name), server: key}
		if d.helpers == nil {
			d.helpers = make(map[string]*helper)
		}
		d.helpers[id] = h
	}
	return h
}
