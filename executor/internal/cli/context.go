package cli

import "github.com/spf13/pflag"

// contextFlags say where the build context is.
type contextFlags struct {
	address string
}

func (f *contextFlags) bind(fs *pflag.FlagSet) {
	fs.StringVarP(&f.address, "context", "c", "/workspace", "directory of the build context, as PATH or dir://PATH")
}
