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
)

// Store is a config.json that is written: what login and logout change. All else in it
// stays, what this package knows nothing of included.
type Store struct {
	path   string
	fields map[string]json.RawMessage // of the file; nil without one
	auths  map[string]json.RawMessage
	known  config
}

// OpenStore reads the config.json that a keychain would read: the first there is in
// dirs or, if there is none, one to be made in the first of them that is there or whose
// parent is. Errors are an [Error].
func OpenStore(dirs []string) (*Store, error) {
	s := &Store{path: filepath.Join(place(dirs), configName), auths: map[string]json.RawMessage{}}
	raw, err := readFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, &Error{Path: s.path, Err: bare(err), code: exitConfig, hint: "make the file readable, or name another directory with --config"}
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return s, nil
	}
	// Both readings have to succeed: what a build could not read is not written to.
	err = json.Unmarshal(raw, &s.known)
	if err == nil {
		err = json.Unmarshal(raw, &s.fields)
	}
	if err == nil && s.fields["auths"] != nil {
		err = json.Unmarshal(s.fields["auths"], &s.auths)
	}
	if err != nil {
		return nil, malformed(s.path, raw, err)
	}
	if s.auths == nil { // "auths": null
		s.auths = map[string]json.RawMessage{}
	}
	return s, nil
}

// place is the directory to use.
func place(dirs []string) string {
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, configName)); err == nil {
			return dir
		}
	}
	for _, dir := range dirs {
		for _, there := range []string{dir, filepath.Dir(dir)} {
			if info, err := os.Stat(there); err == nil && info.IsDir() {
				return dir
			}
		}
	}
	return dirs[0]
}

// Put keeps a user's password for a registry: in the program that the file names for
// it, if it names one, and in the file itself otherwise. It returns where. Errors are
// an [Error].
func (s *Store) Put(ctx context.Context, host, user, password string) (string, error) {
	host = canonical(host)
	key, where := server(host), s.path
	entry := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	if h := s.program(host); h != nil {
		said, err := json.Marshal(map[string]string{"ServerURL": h.server, "Username": user, "Secret": password})
		if err != nil {
			return "", err
		}
		if _, err := h.run(ctx, "put credentials into", "store", string(said)); err != nil {
			return "", err
		}
		// An empty entry says that the program has one, which docker logout looks for.
		entry, where = map[string]string{}, program(h.name)
	}
	s.forget(host)
	raw, err := json.Marshal(entry)
	if err != nil {
		return "", err
	}
	s.auths[key] = raw
	return where, s.write()
}

// Remove takes away what is kept for a registry, and reports whether there was
// anything. Entries for paths within the registry stay. Errors are an [Error].
func (s *Store) Remove(ctx context.Context, host string) (bool, error) {
	host = canonical(host)
	there := s.forget(host)
	if h := s.program(host); h != nil {
		_, err := h.run(ctx, "remove credentials from", "erase", h.server)
		var said *complaint
		if err != nil && !errors.As(err, &said) { // one that failed had nothing
			return false, err
		}
		there = there || err == nil
	}
	if !there {
		return false, nil
	}
	return true, s.write()
}

// Path is the file.
func (s *Store) Path() string { return s.path }

// program is what keeps a registry's credentials instead of the file, nil if nothing
// does.
func (s *Store) program(host string) *helper {
	name, key := s.known.helper(host)
	if name == "" {
		name, key = s.known.CredsStore, server(host)
	}
	if name == "" {
		return nil
	}
	return &helper{path: s.path, name: name, server: key, dir: kanikoDir}
}

// forget removes the entries of a registry, however it is written: of two ways to write
// it, the older could count.
func (s *Store) forget(host string) bool {
	there := false
	for k := range s.auths {
		if canonical(k) == host {
			delete(s.auths, k)
			there = true
		}
	}
	return there
}

// write puts a new file into the old one's place. Where that is a link, it stays one.
func (s *Store) write() error {
	err := s.replace()
	if err == nil {
		return nil
	}
	return &Error{Path: s.path, Err: err, verb: "write credentials to", code: exitCannotCreate,
		hint: "give a directory that can be written to, with --config or $DOCKER_CONFIG"}
}

func (s *Store) replace() error {
	auths, err := json.Marshal(s.auths)
	if err != nil {
		return err
	}
	fields := map[string]json.RawMessage{"auths": auths}
	for k, v := range s.fields {
		if k != "auths" {
			fields[k] = v
		}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(fields); err != nil {
		return err
	}
	path := s.path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+configName+"-*") // which makes it 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replace the file: %w", bare(err)), os.Remove(f.Name()))
	}
	return nil
}
