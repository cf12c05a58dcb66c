// Command list prints the digests and sizes of the images in OCI layouts: a line for
// each, and one for each platform of it.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/kaniko-suite/kaniko/images/layout"
)

func main() {
	if err := list(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "list:", err)
		os.Exit(1)
	}
}

func list(w io.Writer, dirs []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tPLATFORM\tTO PULL\tUNPACKED\tDIGEST")
	for _, dir := range dirs {
		l, err := layout.Read(dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s\t\t\t\t%s\n", filepath.Base(dir), l.Digest)
		for _, i := range l.Images {
			n, err := i.Unpacked()
			if err != nil {
				return err
			}
			fmt.Fprintf(t, "\t%s\t%.1f MB\t%.1f MB\t%s\n", i.Platform, float64(i.Compressed)/1e6, float64(n)/1e6, i.Digest)
		}
	}
	return t.Flush()
}
