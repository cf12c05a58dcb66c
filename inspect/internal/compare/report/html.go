package report

import (
	_ "embed"
	"fmt"
	"html"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
)

// styleText has the colours and the type of the builds' report (shared/timeline/page).
//
//go:embed style.css
var styleText string

// policy forbids the browser all but what the page contains.
const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

const (
	maxRows  = 2000    // of a table: browsers are slow with more
	maxTexts = 4 << 20 // bytes of unified diffs in a page
)

// markup is HTML under way. It is not made by html/template (decision 20).
type markup struct {
	b     strings.Builder
	texts int // bytes of unified diffs so far
	ids   int
}

// put appends markup. What the format is given is text, and escaped as that; none of
// it may stand where a browser expects an address, a script or a style.
func (m *markup) put(format string, args ...any) {
	escaped := make([]any, len(args))
	for i, a := range args {
		if n, ok := a.(int); ok {
			escaped[i] = n
			continue
		}
		escaped[i] = html.EscapeString(fmt.Sprint(a))
	}
	fmt.Fprintf(&m.b, format, escaped...)
}

// page is the report as one page.
func page(r *compare.Result, o Options) string {
	m := &markup{}
	m.head(r)
	m.short(r)
	if all := o.shown(r.Differences); len(all) > 0 {
		m.section("Index")
		m.group(group{title: "index", all: all})
		m.put("</section>\n")
	}
	for _, p := range r.Images {
		m.pair(p, o)
	}
	m.rules(r)
	m.put("</main>\n<footer><p class=\"quiet\">This page needs nothing from elsewhere. It shows values of the images’ configurations and, where lines were " +
		"compared, of files in them.</p></footer>\n</body>\n</html>\n")
	return m.b.String()
}

// badge is the class of a verdict or a layer's state.
func badge(state string) string {
	switch state {
	case compare.Identical, compare.LayerEqual:
		return "good"
	case compare.Equal, compare.LayerRecompressed:
		return "hit"
	}
	return "bad"
}

func (m *markup) head(r *compare.Result) {
	title := value(r.A.Name) + " and " + value(r.B.Name)
	m.put(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="%s">
<title>%s – compared</title>
<link rel="icon" href="data:,">
<style>
`, policy, title)
	m.b.WriteString(styleText)
	m.put("</style>\n</head>\n<body>\n<header>\n<p class=\"eyebrow\">Images compared</p>\n<h1>%s</h1>\n", title)
	m.put("<p><span class=\"badge %s\">%s</span> <span class=\"quiet\">%s</span></p>\n</header>\n<main>\n", badge(r.Verdict), r.Verdict, summary(r))
}

func (m *markup) section(title string) {
	m.ids++
	m.put("<section aria-labelledby=\"s%d\">\n<h2 id=\"s%d\">%s</h2>\n", m.ids, m.ids, title)
}

func (m *markup) short(r *compare.Result) {
	m.section("In short")
	m.put("<dl class=\"facts\">\n")
	for _, f := range [][2]string{
		{"Differences", fmt.Sprint(r.Counted)}, {"Ignored", fmt.Sprint(r.Ignored)}, {"Compared down to", r.Level.String()}, {"Rules", rules(r)},
	} {
		m.put("<div><dt>%s</dt><dd>%s</dd></div>\n", f[0], f[1])
	}
	m.put("</dl>\n<dl class=\"sides\">\n")
	for _, s := range []struct {
		letter string
		compare.Side
	}{{"a", r.A}, {"b", r.B}} {
		m.put("<div><dt>%s</dt><dd>%s</dd><dd class=\"quiet\"><code>%s</code></dd><dd class=\"quiet\">%s</dd></div>\n", s.letter, value(s.Name), s.Digest, s.MediaType)
	}
	m.put("</dl>\n")
	for _, note := range r.Notes {
		m.put("<p class=\"note\">%s</p>\n", plain(note))
	}
	m.put("</section>\n")
}

func (m *markup) pair(p compare.Pair, o Options) {
	title := name(p)
	if title == "" {
		title = "Image"
	}
	m.section(title)
	m.put("<p><span class=\"badge %s\">%s</span>", badge(p.Verdict), p.Verdict)
	if p.A != nil && p.B != nil && p.A.Size+p.B.Size > 0 {
		m.put(" <span class=\"quiet\">%s and %s of layers</span>", output.Size(p.A.Size), output.Size(p.B.Size))
	}
	m.put("</p>\n")
	m.layers(p)
	for _, g := range groups(p, o) {
		m.group(g)
	}
	m.put("</section>\n")
}

func (m *markup) layers(p compare.Pair) {
	if len(p.Layers) == 0 {
		return
	}
	m.put("<table class=\"layers\">\n<thead><tr><th scope=\"col\">Layers</th><th scope=\"col\">State</th><th scope=\"col\" class=\"n\">a</th><th scope=\"col\" class=\"n\">b</th>" +
		"<th scope=\"col\">Made by</th></tr></thead>\n<tbody>\n")
	for _, l := range p.Layers {
		m.put("<tr><th scope=\"row\">%s</th><td><span class=\"badge %s\">%s</span></td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"from\">", place(l.A, l.B), badge(l.State), l.State,
			sizeOf(l.A, l.SizeA), sizeOf(l.B, l.SizeB))
		if l.CreatedBy != "" {
			m.put("<code>%s</code>", value(l.CreatedBy))
		}
		m.put("</td></tr>\n")
	}
	m.put("</tbody>\n</table>\n")
}

func sizeOf(n int, bytes int64) string {
	if n == 0 {
		return "–"
	}
	return output.Size(bytes)
}

func (m *markup) group(g group) {
	open := " open"
	if len(g.all) > 50 {
		open = ""
	}
	m.put("<details"+open+">\n<summary>%s: %s</summary>\n", g.title, counted(len(g.all), "difference"))
	m.put("<table class=\"differences\">\n<thead><tr><th scope=\"col\">Path</th><th scope=\"col\">What</th><th scope=\"col\">a</th><th scope=\"col\">b</th></tr></thead>\n<tbody>\n")
	for i, d := range g.all {
		if i == maxRows {
			break
		}
		m.put("<tr><th scope=\"row\"><code>%s</code></th><td>%s", plain(d.Path), plain(d.Field))
		if d.Ignored != "" {
			m.put(" <span class=\"quiet\">ignored: %s</span>", plain(d.Ignored))
		}
		m.put("</td><td class=\"a\"><code>%s</code></td><td class=\"b\"><code>%s</code></td></tr>\n", value(d.A), value(d.B))
	}
	m.put("</tbody>\n</table>\n")
	if more := len(g.all) - maxRows; more > 0 {
		m.put("<p class=\"note\">There are %d more, which the form json has.</p>\n", more)
	}
	m.diffs(g.all)
	m.put("</details>\n")
}

func (m *markup) diffs(all []compare.Difference) {
	left := 0
	for _, d := range all {
		switch {
		case d.Text == "":
			continue
		case m.texts+len(d.Text) > maxTexts:
			left++
			continue
		}
		m.texts += len(d.Text)
		m.put("<h3><code>%s</code></h3>\n<pre tabindex=\"0\">", plain(d.Path))
		for line := range strings.Lines(plainLines(d.Text)) {
			switch line[0] {
			case '+':
				m.put("<ins>%s</ins>", line)
			case '-':
				m.put("<del>%s</del>", line)
			default:
				m.put("%s", line)
			}
		}
		m.put("</pre>\n")
	}
	if left > 0 {
		m.put("<p class=\"note\">The lines of %s had no room here; the form json has them.</p>\n", counted(left, "file"))
	}
}

func (m *markup) rules(r *compare.Result) {
	if len(r.Rules) == 0 {
		return
	}
	m.section("Rules")
	m.put("<table>\n<thead><tr><th scope=\"col\">Rule</th><th scope=\"col\" class=\"n\">Ignored</th></tr></thead>\n<tbody>\n")
	for _, rule := range r.Rules {
		m.put("<tr><th scope=\"row\"><code>%s</code></th><td class=\"n\">%d</td></tr>\n", plain(rule.Rule), rule.Count)
	}
	m.put("</tbody>\n</table>\n</section>\n")
}
