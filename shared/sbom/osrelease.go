package sbom

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// maxSystem bounds an os-release, in bytes.
const maxSystem = 64 << 10

// readSystem reads os-release(5): assignments as a shell has them, of which only quotes
// matter here.
func readSystem(r io.Reader, f *finding) error {
	var s System
	lines := bufio.NewScanner(io.LimitReader(r, maxSystem))
	lines.Buffer(nil, maxSystem)
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok {
			continue
		}
		value = unquote(value)
		switch key {
		case "ID":
			s.ID = value
		case "VERSION_ID":
			s.Version = value
		case "PRETTY_NAME":
			s.Name = value
		}
	}
	f.system = &s
	return lines.Err()
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`, "\\`", "`").Replace(s)
}

// tooLarge is what is larger than we read.
type tooLarge int64

func (e tooLarge) Error() string { return fmt.Sprintf("it is larger than %d bytes", int64(e)) }
