package git

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// A SourceError is a source that cannot be meant as it is written.
type SourceError struct {
	Source string // the repository, redacted
	Err    error
}

func (e *SourceError) Error() string { return fmt.Sprintf("git source %s: %v", e.Source, e.Err) }

func (e *SourceError) Unwrap() error { return e.Err }

// ExitCode is EX_DATAERR: sources are written in Dockerfiles.
func (e *SourceError) ExitCode() int { return 65 }

// Hint says what can be written.
func (e *SourceError) Hint() string {
	return "write REPOSITORY#REF:DIRECTORY, or REPOSITORY?branch=…&subdir=… with ref, tag, branch, commit, subdir, keep-git-dir, submodules, mtime and fetch-by-commit"
}

// An Error is a repository that could not be fetched or checked out.
type Error struct {
	Repository string // redacted
	Attempt    string // what was tried
	Err        error
	Remedy     string
	Code       int // exit code; 0 is found out from Err
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s of git repository %s: %v", e.Attempt, e.Repository, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode says whether credentials are missing or the source is out of reach.
func (e *Error) ExitCode() int {
	var inner interface{ ExitCode() int }
	switch {
	case e.Code != 0:
		return e.Code
	case errors.As(e.Err, &inner):
		return inner.ExitCode()
	case wantsCredentials(e.Err):
		return 77
	case errors.Is(e.Err, transport.ErrEmptyRemoteRepository):
		return 66
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return 74
	}
	return 69
}

// Hint says what may help.
func (e *Error) Hint() string {
	var inner interface{ Hint() string }
	var verify *tls.CertificateVerificationError
	switch {
	case e.Remedy != "":
		return e.Remedy
	case errors.As(e.Err, &inner):
		return inner.Hint()
	case errors.As(e.Err, &verify):
		return "have SSL_CERT_FILE name the certificate of the authority that signed the server's"
	case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded):
		return ""
	case errors.Is(e.Err, transport.ErrAuthenticationRequired):
		return "set GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD, for who may read it; the server may say the same of a repository that is not there"
	case errors.Is(e.Err, transport.ErrAuthorizationFailed):
		return "GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD, are known to the server, but may not read this repository"
	case errors.Is(e.Err, transport.ErrRepositoryNotFound):
		return "check the address: there is no such repository, or not without credentials (GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD)"
	case errors.Is(e.Err, transport.ErrEmptyRemoteRepository):
		return "push something to it first"
	}
	return ""
}

func wantsCredentials(err error) bool {
	return errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed)
}

// A RefError is a reference that the repository does not have.
type RefError struct {
	Repository string // redacted
	Ref        string
	Similar    []string // names that it has, the most similar first
}

func (e *RefError) Error() string {
	text := fmt.Sprintf("git repository %s has no %q", e.Repository, e.Ref)
	if len(e.Similar) > 0 {
		text += ", but " + strings.Join(e.Similar, ", ")
	}
	return text
}

// ExitCode is EX_DATAERR.
func (e *RefError) ExitCode() int { return 65 }

// Hint says what can be named.
func (e *RefError) Hint() string {
	if len(e.Ref) >= 4 && len(e.Ref) < 40 && isHex(e.Ref) {
		return "if it is a commit, write its full hash: a server cannot be asked for a part of one"
	}
	return "name a branch, a tag, a full commit hash or a reference below refs/"
}

// A ChecksumError is a repository whose reference is not the commit that was meant.
type ChecksumError struct {
	Repository string // redacted
	Ref        string // empty is the remote's HEAD
	Want       string
	Got        []string // the commit and, of an annotated tag, the tag
}

func (e *ChecksumError) Error() string {
	ref := e.Ref
	if ref == "" {
		ref = "HEAD"
	}
	return fmt.Sprintf("git repository %s: %s is %s, and not %s", e.Repository, ref, strings.Join(e.Got, " or "), e.Want)
}

// ExitCode is EX_DATAERR.
func (e *ChecksumError) ExitCode() int { return 65 }

// Hint says what it may mean.
func (e *ChecksumError) Hint() string {
	return "the reference was moved since the Dockerfile was written: find out why before you write the new commit"
}

// similar picks the few names that a user may have meant: those that hold what
// was written, or are held by it, and those that are a few letters away.
func similar(ref string, names []string) []string {
	const few = 4
	ref = strings.ToLower(shortName(ref))
	type scored struct {
		name  string
		score int
	}
	var all []scored
	for _, name := range names {
		low := strings.ToLower(name)
		if strings.Contains(low, ref) || strings.Contains(ref, low) {
			all = append(all, scored{name, 0})
		} else if d := distance(ref, low); d <= min(len(ref)/2, 3) {
			all = append(all, scored{name, d})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return a.score - b.score })
	var out []string
	for _, s := range all[:min(few, len(all))] {
		out = append(out, s.name)
	}
	return out
}

// distance is how many letters must be added, dropped or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// shortName is a reference without the part that says what kind it is.
func shortName(ref string) string {
	for _, prefix := range []string{"refs/heads/", "refs/tags/", "refs/"} {
		if rest, ok := strings.CutPrefix(ref, prefix); ok {
			return rest
		}
	}
	return ref
}
