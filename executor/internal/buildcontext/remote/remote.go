// Package remote fetches single files from web servers: what ADD or a build
// context names by a URL.
//
// It owns how such a file is asked for, how often, and what of it is believed. It
// does not know what becomes of the file, and nothing of repositories, which are
// the package git's.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Mode is what a file from a URL has in an image unless ADD says otherwise.
const Mode = 0o600

// A File is a file that was fetched.
type File struct {
	Size int64 // in bytes
	// ModTime is the server's Last-Modified; zero if it sent none that can be read.
	ModTime time.Time
	Path    string // where the content is
	// Digest is the content's SHA-256, "sha256:" and 64 hexadecimal digits.
	Digest string
}

// Fetch downloads the file at an http or https URL into a new file in the
// directory dir. User and password in the URL are sent to its host and to no
// other. Broken connections, 408, 429 and 5xx are tried again for a while. A
// checksum, unless empty, is "sha256:", "sha384:" or "sha512:" and as many
// lower-case hexadecimal digits as the algorithm has; content with another one is
// removed and is a [ChecksumError]. A nil client is one of its own, with the
// process's proxies and authorities.
func Fetch(ctx context.Context, client *http.Client, url, dir, checksum string) (File, error) {
	return fetch(ctx, client, url, dir, checksum, Retry{})
}

func fetch(ctx context.Context, client *http.Client, source, dir, checksum string, retry Retry) (File, error) {
	d, err := newDownload(client, source, retry)
	if err != nil {
		return File{}, err
	}
	want, err := parseChecksum(checksum)
	if err != nil {
		return File{}, &Error{URL: Redact(source), Err: err}
	}
	file, err := os.CreateTemp(dir, "remote-*")
	if err != nil {
		return File{}, &Error{URL: Redact(source), Err: err}
	}
	d.file, d.want = file, want
	f, err := d.run(ctx)
	if closed := file.Close(); err == nil && closed != nil {
		err = d.fail(closed)
	}
	if err != nil {
		os.Remove(file.Name())
		return File{}, err
	}
	f.Path = file.Name()
	return f, nil
}

// download is one file on its way.
type download struct {
	client *http.Client
	url    *url.URL
	file   *os.File
	want   checksum
	retry  Retry
}

// run asks for the file until it has arrived as a whole.
func (d *download) run(ctx context.Context) (File, error) {
	for failed := 0; ; {
		f, again, err := d.once(ctx)
		if err == nil {
			return f, nil
		}
		failed++
		if !again || failed >= d.retry.Tries || ctx.Err() != nil {
			return File{}, err
		}
		if err := d.retry.Pause(ctx, failed, 0); err != nil {
			return File{}, d.fail(err)
		}
	}
}

// once asks for the file; again says that the answer broke off and that another
// try may have all of it.
func (d *download) once(ctx context.Context) (f File, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return File{}, false, d.fail(err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return File{}, false, d.fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return File{}, false, &StatusError{URL: Redact(d.url.String()), Status: resp.StatusCode, Tries: d.tries(resp), Via: d.via(resp)}
	}
	if err := errors.Join(d.file.Truncate(0), rewind(d.file)); err != nil {
		return File{}, false, d.fail(err)
	}
	sums := d.want.start()
	body := &readError{Reader: resp.Body}
	f.Size, err = io.Copy(io.MultiWriter(d.file, sums), body)
	if err != nil {
		return File{}, body.err != nil && broken(body.err), d.fail(fmt.Errorf("after %d bytes: %w", f.Size, err))
	}
	f.Digest = sums.digest()
	if got := sums.got(); got != d.want.text {
		return File{}, false, &ChecksumError{URL: Redact(d.url.String()), Want: d.want.text, Got: got}
	}
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		f.ModTime = t
	}
	return f, false, nil
}

// tries is how often a request was sent whose answer is given up on.
func (d *download) tries(resp *http.Response) int {
	if passing(resp.StatusCode) {
		return d.retry.Tries
	}
	return 1
}

// via is the host that answered, if it is not the one that was asked.
func (d *download) via(resp *http.Response) string {
	if resp.Request == nil || resp.Request.URL.Host == d.url.Host {
		return ""
	}
	return resp.Request.URL.Host
}

func (d *download) fail(err error) error {
	// net/http puts the address in front, which is said already and may hold secrets.
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			break
		}
		err = u.Err
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server hung up: %w", err)
	}
	return &Error{URL: Redact(d.url.String()), Err: err}
}

func rewind(f io.Seeker) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// readError remembers what ended a body, to tell it from a full disk.
type readError struct {
	io.Reader
	err error
}

func (r *readError) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
