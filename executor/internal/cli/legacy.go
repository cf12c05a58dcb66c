package cli

import (
	"log/slog"

	"github.com/spf13/pflag"
)

// legacyFlags are kaniko's flags that change nothing here, and what is said of them.
type legacyFlags struct {
	given *pflag.FlagSet
}

// legacy are their names, whether they have a value on their own, and why nothing
// comes of them.
func legacy() []legacyFlag {
	return []legacyFlag{
		{"compressed-caching", true, "layers are never held in memory, compressed or not"},
		{"force-build-metadata", false, "what instructions say of the image is always kept"},
		{"skip-unused-stages", false, "stages that the target does not need are never built"},
		{"use-new-run", false, "changes of RUN are found by what the file system says of them"},
	}
}

type legacyFlag struct {
	name  string
	value bool // by default
	why   string
}

func (f *legacyFlags) bind(fs *pflag.FlagSet) {
	f.given = fs
	for _, l := range legacy() {
		fs.Bool(l.name, l.value, "has no effect: "+l.why)
	}
}

// tell says once of each that was given that it changes nothing.
func (f *legacyFlags) tell(log *slog.Logger) {
	for _, l := range legacy() {
		if f.given.Changed(l.name) {
			log.Info("--" + l.name + " has no effect: " + l.why)
		}
	}
}
