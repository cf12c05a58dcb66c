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
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// home is where kaniko's own images keep config.json.
	home = "/kaniko/.docker"
	// configName is what docker calls its file.
	configName = "config.json"
	// secretName is the key that a Kubernetes secret has the file under. A secret that
	// is mounted without a word about its keys has it by this name.
	secretName = ".dockerconfigjson"
)

const (
	maxConfig = 4 << 20 // bytes of config.json
	maxAnswer = 1 << 20 // bytes that a helper may say
)

// Docker is a keychain that reads what docker login writes. It is safe for use by
// several goroutines at once. The file is read each time credentials are looked
// for, and again when it has changed, so that one which is renewed during a build
// counts.
type Docker struct {
	// Dirs are the directories that may hold config.json; the first that does
	// counts.
	Dirs []string

	files    []string // further files of the same form
	variable string   // or a variable that holds such a text, or a file's name
	getenv   func(string) string
	programs string  // where helper programs may be beside PATH
	inside   []named // what does the work of programs that are not installed

	mu      sync.Mutex
	helpers map[string]*renewed // by program and server
}

var _ authn.ContextKeychain = (*Docker)(nil)
var _ authn.Keychain = (*Docker)(nil)

// documents are the places in which a text of docker's form may be, in the order in
// which they are looked through.
func documents(getenv func(string) string) []*Docker {
	all := []*Docker{{Dirs: Dirs(getenv)}}
	if file := getenv("REGISTRY_AUTH_FILE"); file != "" {
		all = append(all, &Docker{files: []string{file}})
	} else if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		all = append(all, &Docker{files: []string{filepath.Join(dir, "containers", "auth.json")}})
	}
	if getenv("DOCKER_AUTH_CONFIG") != "" {
		all = append(all, &Docker{variable: "DOCKER_AUTH_CONFIG", getenv: getenv})
	}
	return all
}

// Dirs are where config.json is looked for: $DOCKER_CONFIG if that is set, and
// otherwise /kaniko/.docker and then .docker of the home directory.
func Dirs(getenv func(string) string) []string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return []string{dir}
	}
	dirs := []string{home}
	if dir := getenv("HOME"); dir != "" {
		dirs = append(dirs, filepath.Join(dir, ".docker"))
	}
	return dirs
}

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

// ResolveContext finds the credentials for a repository or a registry. An entry of
// config.json for a path within the registry comes first, the longest of several, for
// helpers know registries only; then what helper is configured for the registry, then
// the general one, then the entry for the registry. Without any it is
// [authn.Anonymous]. Errors are an [Error].
func (d *Docker) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	a, _, err := d.resolve(ctx, r)
	if a == nil {
		return authn.Anonymous, err
	}
	return a, err
}

func (d *Docker) resolve(ctx context.Context, r authn.Resource) (vouched, []string, error) {
	path, c, err := d.read()
	if err != nil {
		return nil, nil, err
	}
	if c == nil {
		return nil, []string{d.nowhere()}, nil
	}
	own, key, err := c.find(path, r)
	if err != nil {
		return nil, nil, err
	}
	if own != nil && strings.Contains(canonical(key), "/") {
		return d.hold(path, key, *own, r), nil, nil
	}
	a, why, err := d.askHelper(ctx, path, c, r, own != nil)
	if err != nil || a != nil {
		return a, why, err
	}
	if own == nil {
		return nil, append(why, fmt.Sprintf("%s: no entry for %s", path, r.RegistryStr())), nil
	}
	return d.hold(path, key, *own, r), nil, nil
}

// nowhere says that there is no file.
func (d *Docker) nowhere() string {
	if len(d.Dirs) > 0 {
		return configName + ": not in " + strings.Join(d.Dirs, " or ")
	}
	return strings.Join(d.files, ", ") + ": no such file"
}

// paths are where the file may be.
func (d *Docker) paths() []string {
	if d.variable != "" {
		// A variable of GitLab's kind "file" holds the name of one.
		if text := d.getenv(d.variable); filepath.IsAbs(text) {
			return []string{text}
		}
		return nil
	}
	var all []string
	for _, dir := range d.Dirs {
		all = append(all, filepath.Join(dir, configName), filepath.Join(dir, secretName))
	}
	return append(all, d.files...)
}

// read parses the first file there is; without one it returns nil.
func (d *Docker) read() (string, *config, error) {
	for _, path := range d.paths() {
		raw, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return path, nil, &Error{Path: path, Err: bare(err), code: exitConfig, hint: "make the file readable, or name another directory in $DOCKER_CONFIG"}
		}
		c, err := parse(path, raw)
		return path, c, err
	}
	if d.variable != "" && !filepath.IsAbs(d.getenv(d.variable)) {
		c, err := parse("$"+d.variable, []byte(d.getenv(d.variable)))
		return "$" + d.variable, c, err
	}
	return "", nil, nil
}

// parse reads a text of docker's form; an empty one says nothing.
func parse(path string, raw []byte) (*config, error) {
	c := &config{}
	if len(bytes.TrimSpace(raw)) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, malformed(path, raw, err)
	}
	return c, nil
}

func malformed(path string, raw []byte, err error) *Error {
	return &Error{Path: path, Err: located(raw, err), code: exitConfig,
		hint: "it is to be JSON such as docker login writes; a secret mounted for it may hold it in another key or encoded"}
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

// ReadJSON reads a file with credentials, of at most a megabyte, into a value, and
// returns it as it is too. Errors name the file and the place in it, and nothing of
// what stands there.
func ReadJSON(path string, into any) ([]byte, error) {
	raw, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, bare(err))
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, located(raw, err))
	}
	return raw, nil
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
