package report

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
)

// table is the report for a terminal: the verdict, then a line for each difference.
func table(r *compare.Result, o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a  %s  %s\nb  %s  %s\n", plain(r.A.Name), r.A.Digest, plain(r.B.Name), r.B.Digest)
	rows(&b, "", o.shown(r.Differences))
	for _, p := range r.Images {
		if all := o.shown(p.Differences); len(all) > 0 {
			rows(&b, name(p), all)
		}
	}
	if n := recompressed(r); n > 0 {
		fmt.Fprintf(&b, "\n%s only compressed in another way, by their digests; they were not read\n", were(n))
	}
	for _, rule := range r.Rules {
		fmt.Fprintf(&b, "\nrule %s: %s ignored\n", plain(rule.Rule), counted(rule.Count, "difference"))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", plain(note))
	}
	fmt.Fprintf(&b, "\n%s\n", summary(r))
	return b.String()
}

func were(n int) string {
	if n == 1 {
		return "1 layer is"
	}
	return fmt.Sprintf("%d layers are", n)
}

func recompressed(r *compare.Result) int {
	n := 0
	for _, p := range r.Images {
		for _, l := range p.Layers {
			if l.State == compare.LayerRecompressed {
				n++
			}
		}
	}
	return n
}

func rows(b *strings.Builder, title string, all []compare.Difference) {
	if len(all) == 0 {
		return
	}
	b.WriteString("\n")
	if title != "" {
		fmt.Fprintf(b, "%s\n", plain(title))
	}
	var last string
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "WHERE\tPATH\tWHAT\tA\tB\n")
	for _, d := range all {
		where := place(d.LayerA, d.LayerB)
		if where == "" {
			where = part(d)
		}
		if where == last {
			where = ""
		} else {
			last = where
		}
		field := d.Field
		if d.Ignored != "" {
			field += " (ignored: " + d.Ignored + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", where, plain(d.Path), plain(field), output.Short(value(d.A)), output.Short(value(d.B)))
	}
	w.Flush() // into memory
	for _, d := range all {
		if d.Text != "" {
			fmt.Fprintf(b, "\n--- a%s\n+++ b%s\n%s", plain(d.Path), plain(d.Path), plainLines(d.Text))
		}
	}
}
