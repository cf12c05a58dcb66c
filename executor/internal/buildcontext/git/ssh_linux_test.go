package git

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// sshServer is an sshd of this test's own.
type sshServer struct {
	at        string // host:port
	known     string // a file of known hosts
	key, none string // files: a key that is let in, and one that is not
	private   ed25519.PrivateKey
}

// writeKey makes a private key's file.
func writeKey(t *testing.T, file string) (ed25519.PrivateKey, ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func newSSHServer(t *testing.T) sshServer {
	t.Helper()
	exe, err := exec.LookPath("sshd")
	if err != nil {
		if _, err = os.Stat("/usr/sbin/sshd"); err != nil {
			t.Skip("sshd is not installed (openssh-server)")
		}
		exe = "/usr/sbin/sshd"
	}
	if os.Getuid() != 0 {
		t.Skip("sshd lets in its own user only: needs root")
	}
	// It insists on an empty directory of root's for the part of it without rights.
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		t.Cleanup(func() { os.Remove("/run/sshd") })
	} else if !errors.Is(err, fs.ErrExist) {
		t.Skipf("sshd wants /run/sshd: %v", err)
	}
	dir := t.TempDir()
	port := freePort(t)
	s := sshServer{at: "127.0.0.1:" + port, known: filepath.Join(dir, "known"), key: filepath.Join(dir, "key"), none: filepath.Join(dir, "none")}
	_, host := writeKey(t, filepath.Join(dir, "host"))
	private, public := writeKey(t, s.key)
	s.private = private
	writeKey(t, s.none)
	config := strings.Join([]string{
		"ListenAddress 127.0.0.1", "Port " + port, "HostKey " + filepath.Join(dir, "host"), "StrictModes no", "UsePAM no", "PidFile none",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes", "AuthorizedKeysFile " + filepath.Join(dir, "authorized"),
		"SetEnv GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null", "",
	}, "\n")
	for name, text := range map[string]string{
		"conf":       config,
		"authorized": string(ssh.MarshalAuthorizedKey(public)),
		"known":      "[127.0.0.1]:" + port + " " + string(ssh.MarshalAuthorizedKey(host)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A relative path would be lost: sshd starts itself again from elsewhere.
	cmd := exec.Command(exe, "-D", "-e", "-f", filepath.Join(dir, "conf"))
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	awaitPort(t, s.at)
	return s
}

func awaitPort(t *testing.T, at string) {
	t.Helper()
	for range 500 {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the server does not listen")
}

// serveAgent is an ssh agent that has one key.
func serveAgent(t *testing.T, key ed25519.PrivateKey) string {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				agent.ServeAgent(ring, conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
		os.RemoveAll(dir)
	})
	return socket
}

func TestFetch_SSH(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	server := newSSHServer(t)
	url := "ssh://root@" + server.at + r.dir + "/r.git"
	other := filepath.Join(t.TempDir(), "known")
	_, wrong := writeKey(t, filepath.Join(t.TempDir(), "wrong"))
	if err := os.WriteFile(other, []byte("["+strings.Replace(server.at, ":", "]:", 1)+" "+string(ssh.MarshalAuthorizedKey(wrong))), 0o600); err != nil {
		t.Fatal(err)
	}
	known := []string{filepath.Join(t.TempDir(), "missing"), server.known}
	for name, tc := range map[string]struct {
		source string
		c      Credentials
		text   string // of the error; empty is none
		code   int
	}{
		"key":              {url, Credentials{KeyFiles: []string{server.key}, KnownHosts: known}, "", 0},
		"several keys":     {url, Credentials{KeyFiles: []string{server.none, server.key}, KnownHosts: known}, "", 0},
		"agent":            {url, Credentials{AgentSocket: serveAgent(t, server.private), KnownHosts: known}, "", 0},
		"no key":           {url, Credentials{KnownHosts: known}, "neither an agent nor a file", 77},
		"no agent":         {url, Credentials{KnownHosts: known, AgentSocket: "/none"}, "reach the agent", 77},
		"not let in":       {url, Credentials{KeyFiles: []string{server.none}, KnownHosts: known}, "none of the keys is accepted", 77},
		"no key in a file": {url, Credentials{KeyFiles: []string{server.known}, KnownHosts: known}, "is no private key", 77},
		"hosts unknown":    {url, Credentials{KeyFiles: []string{server.key}}, "no file of known hosts", 77},
		"host unknown":     {strings.Replace(url, "127.0.0.1", "localhost", 1), Credentials{KeyFiles: []string{server.key}, KnownHosts: known}, "not among the known hosts", 77},
		"host changed":     {url, Credentials{KeyFiles: []string{server.key}, KnownHosts: []string{other}}, "another one than the known hosts have", 77},
		"no repository":    {"ssh://root@" + server.at + "/none.git", Credentials{KeyFiles: []string{server.key}, KnownHosts: known}, "repository not found", 69},
	} {
		t.Run(name, func(t *testing.T) {
			dir, commit, err := fetchSource(t, tc.source, Options{Credentials: tc.c})
			if tc.text != "" {
				checkError(t, err, tc.code, tc.text)
				return
			}
			if err != nil || commit != s.third {
				t.Fatal(commit, err)
			}
			if got, want := strings.Join(list(t, dir), "\n"), strings.Join(whole("third"), "\n"); got != want {
				t.Errorf("files:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// git's own protocol, from git's own daemon.
func TestFetch_gitProtocol(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	if _, err := os.Stat(filepath.Join(git(t, r.dir, "--exec-path"), "git-daemon")); err != nil {
		t.Skip("git-daemon is not installed")
	}
	port := freePort(t)
	cmd := exec.Command("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", "--port="+port, "--base-path="+r.dir, r.dir)
	cmd.Env = environment(r.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	awaitPort(t, "127.0.0.1:"+port)
	base := "git://127.0.0.1:" + port
	dir, commit, err := fetchSource(t, base+"/r.git#light", Options{})
	if err != nil || commit != s.second {
		t.Fatal(commit, err)
	}
	if got, want := strings.Join(list(t, dir), "\n"), strings.Join(whole("second"), "\n"); got != want {
		t.Errorf("files:\n%s\nwant:\n%s", got, want)
	}
	_, _, err = fetchSource(t, base+"/none.git", Options{})
	checkError(t, err, 69, "repository not found")
}

// A server that says nothing does not hold a build that was stopped.
func TestFetch_stopped(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	key, known := filepath.Join(dir, "key"), filepath.Join(dir, "known")
	_, public := writeKey(t, key)
	host := strings.Replace(l.Addr().String(), "127.0.0.1:", "[127.0.0.1]:", 1)
	if err := os.WriteFile(known, []byte(host+" "+string(ssh.MarshalAuthorizedKey(public))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"git://" + l.Addr().String() + "/x", "ssh://" + l.Addr().String() + "/x", "http://" + l.Addr().String() + "/x.git"} {
		ref, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			conn, err := l.Accept()
			stop()
			<-over
			if err == nil {
				conn.Close()
			}
		})
		_, err = Fetch(ctx, ref, t.TempDir(), Options{Credentials: Credentials{KeyFiles: []string{key}, KnownHosts: []string{known}}})
		if err == nil {
			t.Errorf("%s: no error", source)
		}
		close(over)
		all.Wait()
	}
}
