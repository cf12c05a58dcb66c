package git

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// maxKey bounds a file with a private key, in bytes.
const maxKey = 64 << 10

// openSSH begins a session over ssh.
func (f *fetcher) openSSH(ctx context.Context, at address) (session, error) {
	signers, closeAgent, err := f.ssh.signers(ctx)
	if err != nil {
		return nil, &Error{Repository: at.String(), Attempt: "find an ssh key for the host", Err: err, Code: 77,
			Remedy: "run an ssh agent and set SSH_AUTH_SOCK, or give a private key without a passphrase"}
	}
	defer closeAgent() // who logged in needs it no more
	known, algorithms, err := f.ssh.hosts(at)
	if err != nil {
		return nil, hostError(at, err)
	}
	conn, err := dial(ctx, at, "22")
	if err != nil {
		return nil, err
	}
	user := at.user
	if user == "" {
		user = "git"
	}
	c, channels, requests, err := ssh.NewClientConn(conn, conn.RemoteAddr().String(), &ssh.ClientConfig{
		User: user,
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(signers)},
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			return known(hostPort(at), remote, key)
		},
		HostKeyAlgorithms: algorithms,
	})
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var key *knownhosts.KeyError
		if errors.As(err, &key) {
			return nil, hostError(at, err)
		}
		if strings.Contains(err.Error(), "unable to authenticate") {
			return nil, &Error{Repository: at.String(), Attempt: "log in as " + user + " to the host", Err: errors.New("none of the keys is accepted"),
				Code: 77, Remedy: "have the key of the ssh agent, or of the file, allowed to read the repository"}
		}
		return nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	open, err := upload(client, sshPath(at))
	if err != nil {
		client.Close()
		return nil, err
	}
	return open, nil
}

// upload starts the server's side.
func upload(client *ssh.Client, path string) (*stream, error) {
	s, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	said := &message{}
	s.Stderr = said
	in, err := s.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.Start(service + " " + quote(path)); err != nil {
		return nil, err
	}
	return &stream{in: in, out: out, message: said, wait: s.Wait, close: client.Close}, nil
}

// sshPath is the path that the host's shell sees: one from a home directory
// begins with "~" there, and in a URL with "/~".
func sshPath(at address) string {
	if !at.scp && strings.HasPrefix(at.path, "/~") {
		return at.path[1:]
	}
	return at.path
}

// quote makes one word for a shell.
func quote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

func hostPort(at address) string {
	if _, _, err := net.SplitHostPort(at.host); err == nil {
		return at.host
	}
	return net.JoinHostPort(strings.Trim(at.host, "[]"), "22")
}

// signers are the keys of the agent and of the files.
func (c Credentials) signers(ctx context.Context) (signers func() ([]ssh.Signer, error), end func() error, err error) {
	var own []ssh.Signer
	for _, name := range c.KeyFiles {
		signer, err := readKey(name)
		if err != nil {
			return nil, nil, err
		}
		own = append(own, signer)
	}
	if c.AgentSocket == "" {
		if len(own) == 0 {
			return nil, nil, errors.New("there is neither an agent nor a file")
		}
		return func() ([]ssh.Signer, error) { return own, nil }, func() error { return nil }, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.AgentSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the agent: %w", err)
	}
	client := agent.NewClient(conn)
	return func() ([]ssh.Signer, error) {
		theirs, err := client.Signers()
		return append(own, theirs...), err
	}, conn.Close, nil
}

func readKey(name string) (ssh.Signer, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKey || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file with a key", name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fmt.Errorf("the key %s needs a passphrase", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no private key that can be used", name)
	}
	return signer, nil
}

// errNoHosts says that there is no file of hosts' keys.
var errNoHosts = errors.New("no file of known hosts was found")

// hosts reads the files of known hosts, and says which kinds of key they have for
// a host: a server that has several would else show one that they have not.
func (c Credentials) hosts(at address) (ssh.HostKeyCallback, []string, error) {
	var files []string
	for _, name := range c.KnownHosts {
		if _, err := os.Stat(name); err == nil {
			files = append(files, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	if len(files) == 0 {
		return nil, nil, errNoHosts
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return nil, nil, err
	}
	// A key that nobody has brings out those that are known.
	nobody, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil, nil, err
	}
	var key *knownhosts.KeyError
	if err := known(hostPort(at), &net.TCPAddr{}, nobody); !errors.As(err, &key) || len(key.Want) == 0 {
		return nil, nil, &knownhosts.KeyError{}
	}
	var algorithms []string
	for _, want := range key.Want {
		if kind := want.Key.Type(); kind == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, kind)
		}
	}
	return known, algorithms, nil
}

// hostError is a host that is not known, or is not who it was.
func hostError(at address, err error) error {
	e := &Error{Repository: at.String(), Attempt: "check the host", Err: err, Code: 77,
		Remedy: "write the host's key, as ssh-keyscan prints it, into a file named by SSH_KNOWN_HOSTS, once you have made sure that it is the right one"}
	var key *knownhosts.KeyError
	if errors.As(err, &key) {
		e.Err = errors.New("its key is not among the known hosts")
		if len(key.Want) > 0 {
			e.Err = errors.New("its key is another one than the known hosts have: somebody may be in between")
			e.Remedy = "find out why the key changed before you write the new one into the file of known hosts"
		}
	}
	return e
}
