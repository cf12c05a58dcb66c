package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Release is the release that this source becomes. It is raised in the commit
// that is tagged.
const Release = "v0.1.0"

// Version says what a binary was made from.
type Version struct {
	Release  string
	Revision string // of the source, if the go command could tell; "+dirty" if it was edited
	Go       string
	Platform string
}

// ReadVersion reads what the build left in the running binary.
func ReadVersion() Version {
	v := Version{Release: Release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	return v.with(info.Settings)
}

func (v Version) with(settings []debug.BuildSetting) Version {
	dirty := false
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if v.Revision != "" && dirty {
		v.Revision += "+dirty"
	}
	return v
}

func (v Version) String() string {
	if v.Revision == "" {
		return fmt.Sprintf("%s (%s, %s)", v.Release, v.Go, v.Platform)
	}
	return fmt.Sprintf("%s (%s, %s, %s)", v.Release, v.Revision, v.Go, v.Platform)
}

func versionCommand(program string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of " + program,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s %s\n", program, ReadVersion())
			return err
		},
	}
}
