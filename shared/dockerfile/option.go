package dockerfile

import "strings"

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

// Remote tells what a source of COPY or ADD is if it is not a local path: [URL] or
// [Repository]; it is empty for local paths.
func Remote(s string) string {
	lower := strings.ToLower(s)
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(lower, scheme); ok {
			rest, _, _ = strings.Cut(rest, "#")
			rest, _, _ = strings.Cut(rest, "?")
			if strings.HasSuffix(strings.TrimSuffix(rest, "/"), ".git") {
				return Repository
			}
			return URL
		}
	}
	for _, scheme := range []string{"git://", "ssh://"} {
		if strings.HasPrefix(lower, scheme) {
			return Repository
		}
	}
	// user@host:path, as ssh has it.
	user, rest, ok := strings.Cut(s, "@")
	host, where, ok2 := strings.Cut(rest, ":")
	if ok && ok2 && user != "" && host != "" && where != "" && !strings.ContainsAny(user+host, "/\\ *?[$") {
		return Repository
	}
	return ""
}
