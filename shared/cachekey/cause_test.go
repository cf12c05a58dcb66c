package cachekey

import (
	"slices"
	"testing"
)

// Each cause that two definitions can have.
func TestBecause(t *testing.T) {
	for _, c := range []struct {
		before, after string
		want          Cause
	}{
		{"run a\n", "run a\n", ""},
		{"run a\n", "run b\n", InstructionChanged},
		{"run a\n", "copy /x file\n", InstructionChanged},
		{"exclude a\nexclude b\n", "exclude b\nexclude a\n", InstructionChanged},
		{"parent " + sum("1") + "\n", "parent " + sum("2") + "\n", BaseChanged},
		{"parent step " + sum("1") + "\n", "parent step " + sum("2") + "\n", EarlierChanged},
		{"run a\nenv A 1\n", "run a\nenv A 2\n", ArgumentChanged},
		{"run a\nenv A 1\n", "run a\n", ArgumentChanged},
		{"file 0644 " + sum("1") + " a\n", "file 0644 " + sum("2") + " a\n", FilesChanged},
		{"copy / file\nfrom image " + sum("1") + "\n", "copy / file\nfrom image " + sum("2") + "\n", SourceChanged},
		{"platform linux amd64\n", "platform linux arm64\n", SettingsChanged},
		{"colour red\n", "colour blue\n", UnknownChanged},
		// What tells most comes first.
		{"parent " + sum("1") + "\nrun a\nenv A 1\n", "parent " + sum("2") + "\nrun a\nenv A 2\n", BaseChanged},
	} {
		got := Because(text(t, c.before), text(t, c.after))
		if got != c.want {
			t.Errorf("%q and %q: %q, want %q", c.before, c.after, got, c.want)
		}
		if got != "" && !slices.Contains(Causes(), got) {
			t.Errorf("%q is none of the causes", got)
		}
	}
	if got := Because("", "x"); got != UnknownChanged {
		t.Errorf("got %q for what cannot be read", got)
	}
}
