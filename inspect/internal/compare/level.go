package compare

import (
	"fmt"
	"slices"
	"strings"
)

// Level is how deep a comparison goes, and at which depth a difference lies.
type Level uint8

// The levels, each of which takes in those before it.
const (
	Digest   Level = iota // what the two names stand for
	Manifest              // an index's platforms, a manifest's fields
	Config                // what is run, labels, the history
	Layers                // which layers there are, by what is in them
	Files                 // entries of their archives
	Content               // lines of text files
)

func levelNames() []string {
	return []string{"digest", "manifest", "config", "layers", "files", "content"}
}

// String is the level as it stands on a command line.
func (l Level) String() string { return levelNames()[l] }

// MarshalText implements [encoding.TextMarshaler].
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLevel reads a level's name.
func ParseLevel(name string) (Level, error) {
	if i := slices.Index(levelNames(), name); i >= 0 {
		return Level(i), nil
	}
	return 0, fmt.Errorf("%q is no level: it must be one of %s", name, strings.Join(levelNames(), ", "))
}
