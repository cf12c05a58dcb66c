package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// socketVariable is where programs find the user's ssh agent.
const socketVariable = "SSH_AUTH_SOCK"

// maxKey bounds a file with a private key, in bytes.
const maxKey = 100 << 10

// Agent is an ssh agent for commands: a way to that of the user, or one of its own
// with keys from files. Commands can list keys and sign with them, nothing else.
type Agent struct {
	ID     string
	socket string // of the user's agent
	keys   agent.Agent
}

// openAgent reads a value of --ssh: ID, ID=SOCKET or ID=KEYFILE,KEYFILE….
func openAgent(text string, lookup func(string) (string, bool)) (*Agent, error) {
	id, list, ok := strings.Cut(text, "=")
	if id == "" {
		return nil, &Error{"--ssh", text, errors.New("it has no id")}
	}
	a := &Agent{ID: id}
	if !ok || list == "" {
		if a.socket, ok = lookup(socketVariable); !ok || a.socket == "" {
			return nil, &Error{"--ssh", text, errors.New("there is no agent: the environment has no " + socketVariable)}
		}
		return a, nil
	}
	for _, path := range strings.Split(list, ",") {
		if err := a.open(path); err != nil {
			return nil, &Error{"--ssh", text, err}
		}
	}
	if a.socket != "" && a.keys != nil {
		return nil, &Error{"--ssh", text, errors.New("it names an agent and keys; give each an id of its own")}
	}
	return a, nil
}

// open takes a socket, or adds the key of a file.
func (a *Agent) open(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.Mode().Type() == os.ModeSocket:
		if a.socket != "" {
			return errors.New("it names more than one agent")
		}
		a.socket, err = filepath.Abs(path)
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a socket nor a file", path)
	case info.Size() > maxKey:
		return fmt.Errorf("%s is larger than %d bytes", path, maxKey)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	key, err := ssh.ParseRawPrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return fmt.Errorf("the key in %s has a passphrase: add it to an agent, and name that one", path)
	case err != nil:
		return fmt.Errorf("%s holds no private key", path)
	}
	if a.keys == nil {
		a.keys = agent.NewKeyring()
	}
	return a.keys.Add(agent.AddedKey{PrivateKey: key})
}

// serve talks to one command's program.
func (a *Agent) serve(ctx context.Context, client io.ReadWriteCloser) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := a.keys
	if keys == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", a.socket)
		if err != nil {
			return // the program sees the connection end, as with any agent that is gone
		}
		defer conn.Close()
		keys = agent.NewClient(conn)
		defer context.AfterFunc(ctx, func() { conn.Close() })()
	}
	defer context.AfterFunc(ctx, func() { client.Close() })()
	agent.ServeAgent(&readOnly{keys}, client)
}

// readOnly is an agent that lists and signs.
type readOnly struct{ agent.Agent }

var errReadOnly = errors.New("this agent only lists keys and signs")

func (*readOnly) Add(agent.AddedKey) error   { return errReadOnly }
func (*readOnly) Remove(ssh.PublicKey) error { return errReadOnly }
func (*readOnly) RemoveAll() error           { return errReadOnly }
func (*readOnly) Lock([]byte) error          { return errReadOnly }
func (*readOnly) Unlock([]byte) error        { return errReadOnly }

// SignWithFlags lets a program ask for a newer hash, as all do for RSA.
func (r *readOnly) SignWithFlags(key ssh.PublicKey, data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	if e, ok := r.Agent.(agent.ExtendedAgent); ok {
		return e.SignWithFlags(key, data, flags)
	}
	return r.Sign(key, data)
}

// Extension refuses whatever else an agent may be asked.
func (r *readOnly) Extension(string, []byte) ([]byte, error) {
	return nil, agent.ErrExtensionUnsupported
}
