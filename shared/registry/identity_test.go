package registry_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestReal_certificates: a registry's authority is believed when it is named, for that
// host alone; one that asks who we are is told, and refuses others.
func TestReal_certificates(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			ca, clients, stranger := registrytest.NewAuthority(t), registrytest.NewAuthority(t), registrytest.NewAuthority(t)
			host := start(t, registrytest.RealConfig{TLS: ca.Issue(t, "127.0.0.1")})
			asking := start(t, registrytest.RealConfig{TLS: ca.Issue(t, "127.0.0.1"), Clients: clients})
			img := image(t, 1, 1000)
			ours, theirs := clients.Issue(t, "builder"), stranger.Issue(t, "stranger")
			for _, tc := range []struct {
				name, host string
				o          registry.Options
				err        string
			}{
				{"nothing", host, registry.Options{}, "certificate"},
				{"authority", host, registry.Options{Authorities: []string{host + "=" + ca.File}}, ""},
				{"several", host, registry.Options{Authorities: []string{host + "=" + stranger.File, host + "=" + ca.File}}, ""},
				{"another authority", host, registry.Options{Authorities: []string{host + "=" + stranger.File}}, "certificate"},
				{"another host's", host, registry.Options{Authorities: []string{asking + "=" + ca.File}}, "certificate"},
				{"no client certificate", asking, registry.Options{Authorities: []string{asking + "=" + ca.File}}, "certificate"},
				{"client certificate", asking, registry.Options{
					Authorities: []string{asking + "=" + ca.File}, ClientCertificates: []string{asking + "=" + ours.Cert + "," + ours.Key},
				}, ""},
				{"without a look at theirs", asking, registry.Options{
					SkipTLSVerifyRegistries: []string{asking}, ClientCertificates: []string{asking + "=" + ours.Cert + "," + ours.Key},
				}, ""},
				{"stranger", asking, registry.Options{
					Authorities: []string{asking + "=" + ca.File}, ClientCertificates: []string{asking + "=" + theirs.Cert + "," + theirs.Key},
				}, "certificate"},
				{"client certificate for another host", asking, registry.Options{
					Authorities: []string{asking + "=" + ca.File}, ClientCertificates: []string{host + "=" + ours.Cert + "," + ours.Key},
				}, "certificate"},
			} {
				t.Run(tc.name, func(t *testing.T) {
					if err := tc.o.Check(); err != nil {
						t.Fatal(err)
					}
					c := client(t, registry.Config{Options: tc.o})
					err := c.PushImage(context.Background(), tag(t, c, tc.host+"/app:1"), img)
					if err == nil {
						err = pullAll(client(t, registry.Config{Options: tc.o}), tc.host+"/app:1", img)
					}
					check(t, err, tc.err, 69)
				})
			}
		})
	}
}

// TestHungUp: a host that ends connections under TLS without a word, and speaks nothing
// else, is said to do so. Servers of that kind are not at fault alone: the alert with
// which one refuses a certificate is lost when it crosses our request.
func TestHungUp(t *testing.T) {
	ca := registrytest.NewAuthority(t)
	files := ca.Issue(t, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go hangUp(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		}
	}()
	host := l.Addr().String()
	c := client(t, registry.Config{Options: registry.Options{Authorities: []string{host + "=" + ca.File}}})
	err = c.PushImage(context.Background(), tag(t, c, host+"/app:1"), image(t, 1, 1000))
	check(t, err, "wants another certificate", 69)
	var e *registry.Error
	if errors.As(err, &e); !strings.Contains(e.Hint(), "--registry-client-cert="+host) {
		t.Errorf("hint %q", e.Hint())
	}
}

// hangUp shakes hands over TLS and says no more; of those without TLS it wants TLS.
func hangUp(c net.Conn, config *tls.Config) {
	defer c.Close()
	r := bufio.NewReader(c)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	if first[0] != 0x16 { // a TLS record of a handshake
		io.WriteString(c, "HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		return
	}
	over := tls.Server(read{c, r}, config)
	if over.Handshake() == nil {
		r.Peek(1) // the request is on its way
		c.(*net.TCPConn).SetLinger(0)
	}
}

// read is a connection of which something was read already.
type read struct {
	net.Conn
	r io.Reader
}

func (r read) Read(p []byte) (int, error) { return r.r.Read(p) }

// TestOptions_files: a file that is of no use is found before anything is asked, and is
// an error of whoever asks all the same.
func TestOptions_files(t *testing.T) {
	dir := t.TempDir()
	ca := registrytest.NewAuthority(t)
	pair, other := ca.Issue(t, "a"), ca.Issue(t, "b")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := registrytest.Start(t, registrytest.Config{})
	for _, tc := range []struct {
		o    registry.Options
		code int
		says []string
	}{
		{registry.Options{Authorities: []string{"h=" + dir + "/none"}}, 66, []string{"for h from " + dir + "/none: no such file"}},
		{registry.Options{Authorities: []string{"h=" + dir}}, 78, []string{dir, "directory"}},
		{registry.Options{Authorities: []string{"h=" + text}}, 78, []string{text, "no certificate in it"}},
		{registry.Options{Authorities: []string{"h=" + pair.Key}}, 78, []string{pair.Key, "no certificate in it"}},
		{registry.Options{ClientCertificates: []string{"h=" + pair.Cert + "," + dir + "/none"}}, 66, []string{dir + "/none: no such file"}},
		{registry.Options{ClientCertificates: []string{"h=" + text + "," + pair.Key}}, 78, []string{text}},
		{registry.Options{ClientCertificates: []string{"h=" + pair.Cert + "," + other.Key}}, 78, []string{pair.Cert, other.Key, "match"}},
	} {
		err := tc.o.Check()
		var e *registry.CertificateError
		if !errors.As(err, &e) || e.ExitCode() != tc.code || e.Hint() == "" {
			t.Errorf("%+v: %v", tc.o, err)
			continue
		}
		for _, want := range tc.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
		_, err = client(t, registry.Config{Options: tc.o}).Resolve(context.Background(), s.Host()+"/app", linux)
		if !errors.As(err, &e) {
			t.Errorf("unchecked, %+v: %v", tc.o, err)
		}
	}
	if n := s.Requests(); len(n) > 0 {
		t.Errorf("the registry was asked %q", n)
	}
}
