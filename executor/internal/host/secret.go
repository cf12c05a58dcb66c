package host

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds a secret, in bytes, as other builders do.
const maxSecret = 500 << 10

// secretSource is where a secret's value comes from: one of file and env is set.
type secretSource struct{ id, file, env string }

// parseSecret reads a value of --secret: id=ID,src=FILE or id=ID,env=NAME, with
// type=file or type=env to say which of both a bare id means.
func parseSecret(text string) (secretSource, error) {
	var s secretSource
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return s, &Error{"--secret", text, errors.New("not a list of KEY=VALUE")}
	}
	kind, src := "", ""
	for _, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "type":
			if kind = value; kind != "file" && kind != "env" {
				return s, &Error{"--secret", text, fmt.Errorf("type %q is neither file nor env", value)}
			}
		case "id":
			s.id = value
		case "source", "src":
			src = value
		case "env":
			s.env = value
		default:
			ok = false
		}
		if !ok || value == "" {
			return s, &Error{"--secret", text, fmt.Errorf("%q is not id=, src=, env= or type=", field)}
		}
	}
	return s.complete(text, kind, src)
}

// complete makes one source of what was said.
func (s secretSource) complete(text, kind, src string) (secretSource, error) {
	switch {
	case s.env != "" && src != "":
		return s, &Error{"--secret", text, errors.New("it has both src and env")}
	case kind == "env" && src != "":
		s.env = src
	default:
		s.file = src
	}
	if s.id == "" {
		s.id = s.env
	}
	if s.id == "" {
		return s, &Error{"--secret", text, errors.New("it has no id")}
	}
	if s.env == "" && s.file == "" {
		if kind == "env" {
			s.env = s.id
		} else {
			s.file = s.id
		}
	}
	return s, nil
}

func (s secretSource) value(lookup func(string) (string, bool)) ([]byte, error) {
	if s.env != "" {
		value, ok := lookup(s.env)
		if !ok && s.file == "" {
			return nil, fmt.Errorf("the environment has no %s", s.env)
		}
		return []byte(value), nil
	}
	f, err := os.Open(s.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	value, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(value) > maxSecret {
		err = fmt.Errorf("%s is larger than %d bytes", s.file, maxSecret)
	}
	return value, err
}
