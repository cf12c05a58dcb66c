package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
)

// Exit codes of files that flags name, after sysexits.
const (
	exitNoInput = 66
	exitConfig  = 78
)

// maxCertificates is how long a file of certificates or of a key may be, in bytes.
const maxCertificates = 4 << 20

// CertificateError is a file of a certificate or a key that is of no use.
type CertificateError struct {
	Flag string // that names the file
	Host string
	Path string
	Err  error
}

func (e *CertificateError) Error() string {
	err := e.Err
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // the path is said already
	}
	return fmt.Sprintf("read the certificate for %s from %s: %v", e.Host, e.Path, err)
}

func (e *CertificateError) Unwrap() error { return e.Err }

// ExitCode is that of a file that is not there, or of a faulty configuration.
func (e *CertificateError) ExitCode() int {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return exitNoInput
	}
	return exitConfig
}

// Hint says what the flag wants.
func (e *CertificateError) Hint() string {
	return fmt.Sprintf("--%s wants files that can be read and that begin with -----BEGIN", e.Flag)
}

func checkAuthority(text string) error {
	if host, path, _ := strings.Cut(text, "="); canonical(host) == "" || path == "" {
		return fmt.Errorf("%q is not HOST=FILE", text)
	}
	return nil
}

func checkClientCertificate(text string) error {
	host, files, _ := strings.Cut(text, "=")
	cert, key, _ := strings.Cut(files, ",")
	if canonical(host) == "" || cert == "" || key == "" {
		return fmt.Errorf("%q is not HOST=CERT,KEY", text)
	}
	return nil
}

// identity is what is special about TLS with one host.
type identity struct {
	authorities *x509.CertPool // nil for the system's
	ours        []tls.Certificate
}

// readIdentities reads the files that the options name; the result is by host.
func readIdentities(o *Options) (map[string]*identity, error) {
	all := map[string]*identity{}
	of := func(host string) *identity {
		if all[host] == nil {
			all[host] = &identity{}
		}
		return all[host]
	}
	for _, text := range o.Authorities {
		if err := checkAuthority(text); err != nil {
			return nil, err
		}
		host, path, _ := strings.Cut(text, "=")
		host = canonical(host)
		if err := of(host).trust(path); err != nil {
			return nil, &CertificateError{Flag: "registry-certificate", Host: host, Path: path, Err: err}
		}
	}
	for _, text := range o.ClientCertificates {
		if err := checkClientCertificate(text); err != nil {
			return nil, err
		}
		host, files, _ := strings.Cut(text, "=")
		host = canonical(host)
		cert, key, _ := strings.Cut(files, ",")
		pair, where, err := readPair(cert, key)
		if err != nil {
			return nil, &CertificateError{Flag: "registry-client-cert", Host: host, Path: where, Err: err}
		}
		of(host).ours = append(of(host).ours, pair)
	}
	return all, nil
}

// trust adds what a file holds to the system's authorities.
func (i *identity) trust(path string) error {
	raw, err := readFile(path)
	if err != nil {
		return err
	}
	if i.authorities == nil {
		if i.authorities, err = x509.SystemCertPool(); err != nil {
			return err
		}
	}
	if !i.authorities.AppendCertsFromPEM(raw) {
		return errors.New("there is no certificate in it")
	}
	return nil
}

func readPair(certPath, keyPath string) (pair tls.Certificate, where string, err error) {
	cert, err := readFile(certPath)
	if err != nil {
		return pair, certPath, err
	}
	key, err := readFile(keyPath)
	if err != nil {
		return pair, keyPath, err
	}
	pair, err = tls.X509KeyPair(cert, key)
	return pair, certPath + " and " + keyPath, err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, maxCertificates)
}

// byHost sends requests to hosts of which something special is known over a transport
// of their own: what a host is shown, and who may vouch for it, is for that host alone.
type byHost struct {
	special map[string]http.RoundTripper
	others  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b *byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if t, ok := b.special[canonical(req.URL.Host)]; ok {
		return t.RoundTrip(req)
	}
	return b.others.RoundTrip(req)
}
