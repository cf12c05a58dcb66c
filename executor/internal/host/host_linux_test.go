package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{"a": "A\n", "tok": "file tok"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lookup := env(map[string]string{"TOK": "env TOK"})
	for text, want := range map[string][2]string{
		"id=x,src=a":                {"x", "A\n"},
		"id=x,source=" + dir + "/a": {"x", "A\n"},
		"id=x,env=TOK":              {"x", "env TOK"},
		"env=TOK":                   {"TOK", "env TOK"},
		"id=tok":                    {"tok", "file tok"},
		"type=env,id=TOK":           {"TOK", "env TOK"},
		"type=env,id=x,src=TOK":     {"x", "env TOK"},
		"type=file,id=x,src=a":      {"x", "A\n"},
		`"id=x","src=a"`:            {"x", "A\n"},
	} {
		h, err := Open(Options{Secrets: []string{text}, LookupEnv: lookup})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok, _ := h.Secret(want[0]); !ok || string(got) != want[1] {
			t.Errorf("%s: %q %v", text, got, ok)
		}
		if _, ok, _ := h.Secret("other"); ok {
			t.Errorf("%s: there is another", text)
		}
	}
	for text, want := range map[string]string{
		"":                      "not a list",
		"src=a":                 "no id",
		"id=x,src=a,env=TOK":    "both src and env",
		"id=x,src=none":         "no such file",
		"id=x,env=NONE":         "no NONE",
		"id=x,type=vault":       "neither file nor env",
		"id=x,mode=1":           `"mode=1" is not`,
		"id=x,src=/dev/zero":    "larger than",
		"id=x,src=" + dir:       "is a directory",
		"id=,src=a":             `"id=" is not`,
		"id=x,src=a;id=x,src=a": "two with id",
	} {
		list := strings.Split(text, ";")
		if _, err := Open(Options{Secrets: list, LookupEnv: lookup}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// keyFile writes a new key and returns the file and the public half.
func keyFile(t *testing.T, dir, name, passphrase string) (string, ssh.PublicKey) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, name)
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(priv, name, []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return path, key
}

// client talks to the agent of that id as a command's program would.
func client(t *testing.T, h *Host, id string) agent.ExtendedAgent {
	t.Helper()
	serve, ok := h.Agent(id)
	if !ok {
		t.Fatalf("there is no agent %s", id)
	}
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(done); serve(ctx, theirs) }()
	t.Cleanup(func() { cancel(); <-done; ours.Close() })
	return agent.NewClient(ours)
}

func checkAgent(t *testing.T, c agent.ExtendedAgent, key ssh.PublicKey) {
	t.Helper()
	list, err := c.List()
	if err != nil || len(list) != 1 || string(list[0].Marshal()) != string(key.Marshal()) {
		t.Fatalf("keys: %v, %v", list, err)
	}
	sig, err := c.SignWithFlags(key, []byte("text"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify([]byte("text"), sig); err != nil {
		t.Error(err)
	}
	if err := c.RemoveAll(); err == nil {
		t.Error("a command can remove keys")
	}
	if list, err := c.List(); err != nil || len(list) != 1 {
		t.Errorf("keys after that: %v, %v", list, err)
	}
}

func TestAgents(t *testing.T) {
	dir := t.TempDir()
	file, key := keyFile(t, dir, "key", "")
	locked, _ := keyFile(t, dir, "locked", "secret words")

	ring := agent.NewKeyring()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, c)
		}
	}()

	h, err := Open(Options{
		Agents:    []string{"default", "named=" + socket, "file=" + file},
		LookupEnv: env(map[string]string{"SSH_AUTH_SOCK": socket}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"default", "named", "file"} {
		checkAgent(t, client(t, h, id), key)
	}
	if _, ok := h.Agent("none"); ok {
		t.Error("there is an agent that was not given")
	}
	for text, want := range map[string]string{
		"default":                    "no SSH_AUTH_SOCK",
		"=x":                         "no id",
		"a=" + locked:                "passphrase",
		"a=" + dir:                   "neither a socket nor a file",
		"a=" + dir + "/none":         "no such file",
		"a=" + file + "," + socket:   "an agent and keys",
		"a=" + socket + "," + socket: "more than one agent",
	} {
		if _, err := Open(Options{Agents: []string{text}, LookupEnv: env(nil)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func open(t *testing.T, h *Host, c engine.Cache) (string, func()) {
	t.Helper()
	dir, release, err := h.Cache(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	}
}

func TestCache(t *testing.T) {
	h, err := Open(Options{Caches: filepath.Join(t.TempDir(), "caches")})
	if err != nil {
		t.Fatal(err)
	}
	shared := engine.Cache{ID: "/root/.cache", Sharing: dockerfile.SharingShared, Mode: 0o751}
	one, release := open(t, h, shared)
	two, release2 := open(t, h, shared)
	if one != two {
		t.Error("a shared cache is two")
	}
	if info, err := os.Stat(one); err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(one, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := shared
	locked.Sharing = dockerfile.SharingLocked
	short, cancel := context.WithTimeout(t.Context(), 3*poll)
	defer cancel()
	if _, _, err := h.Cache(short, locked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked while others use it: %v", err)
	}
	release()
	release2()

	again, release := open(t, h, locked)
	if _, err := os.Stat(filepath.Join(again, "kept")); err != nil {
		t.Error(err)
	}
	private := shared
	private.Sharing = dockerfile.SharingPrivate
	other, release2 := open(t, h, private)
	if other == again {
		t.Error("a private cache is one that somebody uses")
	}
	release2()
	waited := make(chan string)
	go func() {
		dir, release, err := h.Cache(t.Context(), locked)
		if err == nil {
			release()
		}
		waited <- dir
	}()
	time.Sleep(2 * poll)
	release()
	if dir := <-waited; dir != again {
		t.Errorf("who waited got %q", dir)
	}
}

func TestCache_source(t *testing.T) {
	dir := t.TempDir()
	h, err := Open(Options{Caches: dir})
	if err != nil {
		t.Fatal(err)
	}
	c := engine.Cache{ID: "id", Sharing: dockerfile.SharingShared, Mode: 0o755}
	content, release := open(t, h, c)
	release()
	if err := os.Mkdir(filepath.Join(content, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"in": "sub", "out": "../..", "abs": dir} {
		if err := os.Symlink(to, filepath.Join(content, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sub", "in"} {
		c.Source = tree.Clean(name)
		got, release := open(t, h, c)
		release()
		if got != filepath.Join(content, "sub") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, name := range []string{"out", "abs", "none", "out/x"} {
		c.Source = tree.Clean(name)
		if got, _, err := h.Cache(t.Context(), c); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}
