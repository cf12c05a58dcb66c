package dockerfile

import (
	"net/url"
	"strings"
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
	switch instruction + " " + name {
	case "FROM platform",
		"RUN mount", "RUN network",
		"COPY from", "COPY chown", "COPY chmod", "COPY link", "COPY parents", "COPY exclude",
		"ADD chown", "ADD chmod", "ADD link", "ADD exclude", "ADD checksum", "ADD keep-git-dir", "ADD unpack",
		"HEALTHCHECK interval", "HEALTHCHECK timeout", "HEALTHCHECK start-period",
		"HEALTHCHECK start-interval", "HEALTHCHECK retries":
		return honoured
	case "RUN security":
		if value == "sandbox" {
			return honoured
		}
		return refused
	case "RUN device":
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
		if src.Name == "RUN" && name == "security" {
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
	case "RUN security":
		return "leave --security out: a RUN has what the builder's own container allows"
	case "RUN device":
		return "leave --device out: a RUN sees no devices of the machine"
	}
	return ""
}

// What a source of ADD can be that is not a local path.
const (
	URL        = "a URL"
	Repository = "a git repository"
)

// Remote tells what a source of COPY or ADD is if it is not a local path: [URL]
// or [Repository]; it is empty for local paths. It is BuildKit's rule: an
// http address is a repository if its path ends in .git, without a slash behind.
func Remote(s string) string {
	scheme, _, ok := strings.Cut(s, "://")
	if !ok || strings.ContainsFunc(scheme, func(c rune) bool { return !isWord(c) }) {
		if isSSH(s) {
			return Repository
		}
		return ""
	}
	u, err := url.Parse(s)
	switch scheme = strings.ToLower(scheme); {
	case err == nil && (scheme == "git" || scheme == "ssh"),
		err == nil && (scheme == "http" || scheme == "https") && strings.HasSuffix(u.Path, ".git"):
		return Repository
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"):
		return URL // in capitals it is a path to BuildKit, and nothing is there
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
