package dockerfile

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// verdict is what becomes of an option.
type verdict uint8

const (
	unknown  verdict = iota // this table does not have it: refused unless the parser refuses it first
	honoured                // there is code that obeys it
	refused                 // known, and not obeyed
)

// option judges one option of an instruction: its name without dashes and its
// value. It is the only way for an option into a build: whatever it does not
// call honoured ends the build before anything has run, so that an option which
// a newer parser accepts cannot go unnoticed.
func option(instruction, name, value string) verdict {
	off := strings.EqualFold(value, "false")
	switch instruction + " " + name {
	case "FROM platform",
		"COPY from", "COPY chown", "COPY chmod",
		"ADD chown", "ADD chmod",
		"HEALTHCHECK interval", "HEALTHCHECK timeout", "HEALTHCHECK start-period",
		"HEALTHCHECK start-interval", "HEALTHCHECK retries":
		return honoured
	case "COPY link", "COPY parents", "ADD link":
		if off {
			return honoured // by doing nothing
		}
		return refused
	case "RUN network":
		if value == "default" || value == "host" {
			return honoured
		}
		return refused
	case "RUN security":
		if value == "sandbox" {
			return honoured
		}
		return refused
	case "RUN mount", "RUN device",
		"COPY exclude",
		"ADD exclude", "ADD checksum", "ADD keep-git-dir", "ADD unpack":
		return refused
	}
	return unknown
}

// splitOption takes "--name=value" apart; ok is false for the "--" that ends options.
func splitOption(flag string) (name, value string, ok bool) {
	if flag == "--" {
		return "", "", false
	}
	name, value, _ = strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	return name, value, true
}

// refuse finds the first option that is not honoured. With known set, options
// that the table does not have are left for the parser to judge.
func refuse(src Source, flags []string, known bool) error {
	for _, flag := range flags {
		name, value, ok := splitOption(flag)
		if !ok {
			return nil
		}
		v := option(src.Name, name, value)
		if v == honoured || v == unknown && known {
			continue
		}
		text := "--" + name
		if src.Name == "RUN" && (name == "network" || name == "security") {
			text = flag // other values of it are honoured
		}
		return &Error{
			At:     src.At,
			Err:    &UnsupportedError{Instruction: src.Name, Option: text},
			Advice: adviceFor(src.Name, name),
		}
	}
	return nil
}

func adviceFor(instruction, name string) string {
	switch instruction + " " + name {
	case "COPY link", "ADD link":
		return "leave --link out: the files are the same, the layer is then built on the one before it"
	case "ADD unpack":
		return "leave --unpack out to have a local archive unpacked, or use COPY to have it copied as it is"
	case "RUN network":
		return "leave --network out: a RUN uses the network that the builder has"
	}
	return ""
}

// ErrMode says that a text is no file mode.
var ErrMode = errors.New("not an octal number between 0 and 07777")

// ParseMode reads the value of --chmod.
func ParseMode(s string) (tree.Mode, error) {
	n, err := strconv.ParseUint(s, 8, 16)
	if err != nil || n > uint64(tree.ModeMask) {
		if strings.ContainsAny(s, "ugoa+=") && !strings.ContainsAny(s, "0123456789") {
			return 0, &UnsupportedError{Instruction: "a symbolic mode in", Option: "--chmod=" + s}
		}
		return 0, fmt.Errorf("--chmod=%s: %w", s, ErrMode)
	}
	return tree.Mode(n), nil
}

// Remote tells what a source of COPY or ADD is if it is not a local path: "a URL"
// or "a git repository"; it is empty for local paths. It is BuildKit's rule: an
// http address is a repository if its path ends in .git, without a slash behind.
func Remote(s string) string {
	scheme, _, ok := strings.Cut(s, "://")
	if !ok || strings.ContainsFunc(scheme, func(c rune) bool { return !isWord(c) }) {
		if isSSH(s) {
			return "a git repository"
		}
		return ""
	}
	u, err := url.Parse(s)
	switch scheme = strings.ToLower(scheme); {
	case err == nil && (scheme == "git" || scheme == "ssh"),
		err == nil && (scheme == "http" || scheme == "https") && strings.HasSuffix(u.Path, ".git"):
		return "a git repository"
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"):
		return "a URL" // in capitals it is a path to BuildKit, and nothing is there
	}
	return ""
}

// isSSH tells whether s is user@host:path, as ssh has it.
func isSSH(s string) bool {
	user, rest, ok := strings.Cut(s, "@")
	host, _, ok2 := strings.Cut(rest, ":")
	return ok && ok2 && user != "" && host != "" &&
		!strings.ContainsFunc(user, func(c rune) bool { return !isWord(c) && c != '-' && c != '_' }) &&
		!strings.ContainsFunc(host, func(c rune) bool { return !isWord(c) && c != '-' && c != '.' })
}

func isWord(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
