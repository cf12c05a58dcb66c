package sbom

import (
	"bufio"
	"io"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// isPython tells whether a file is what an installer of Python packages leaves of one:
// of a wheel, or of the two older forms.
func isPython(p tree.Path) bool {
	switch dir, name := string(p.Parent()), p.Base(); name {
	case "METADATA":
		return strings.HasSuffix(dir, ".dist-info")
	case "PKG-INFO":
		return strings.HasSuffix(dir, ".egg-info")
	default:
		return strings.HasSuffix(name, ".egg-info")
	}
}

// readPython reads Python's core metadata: fields as of a mail, and then a text that does
// not matter here.
func readPython(r io.Reader, f *finding) error {
	p := Package{Kind: Python}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() && lines.Text() != "" {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok || strings.ContainsAny(name, " \t") {
			continue // a field that goes on
		}
		value = strings.TrimSpace(value)
		switch name {
		case "Name":
			p.Name = value
		case "Version":
			p.Version = value
		case "License-Expression":
			p.License = value
		case "License": // words, or all of a licence; the expression is newer and better
			if p.License == "" && len(value) <= maxExpression && value != "UNKNOWN" {
				p.License = value
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if p.Name == "" || p.Version == "" {
		return nil // what is no package has no name
	}
	return f.add(record{Package: p})
}
