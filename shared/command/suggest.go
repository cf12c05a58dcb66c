package command

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// similar is how many letters may be wrong of a flag's name that is still meant.
const similar = 2

// suggest is the hint for a flag that c does not have: those that may be meant. It is
// empty for any other error.
func suggest(c *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 3 {
		return ""
	}
	// cobra knows which commands may be meant by a word.
	names := &cobra.Command{SuggestionsMinimumDistance: similar}
	add := func(name string) {
		names.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		add(f.Name)
		for _, other := range Spellings(f) {
			add(other)
		}
	})
	found := names.SuggestionsFor(unknown.GetSpecifiedName())
	if len(found) == 0 {
		return ""
	}
	return "did you mean --" + strings.Join(found, " or --") + "?"
}
