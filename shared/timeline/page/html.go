package page

import (
	"fmt"
	"html"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/timeline"
)

// document is HTML under way. It is not made by html/template: that calls methods by
// name, so the linker would keep every method there is (decision 20).
type document struct{ b strings.Builder }

// put appends markup. What the format is given is text, and escaped as that, in elements
// as in quoted attributes; none of it may stand where a browser expects an address, a
// script or more of a style than a number.
func (d *document) put(format string, args ...any) {
	escaped := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case int, float64:
			escaped[i] = a
		case string:
			escaped[i] = html.EscapeString(a)
		case engine.Phase:
			escaped[i] = html.EscapeString(string(a))
		case timeline.State:
			escaped[i] = html.EscapeString(string(a))
		default:
			escaped[i] = html.EscapeString(fmt.Sprint(a))
		}
	}
	fmt.Fprintf(&d.b, format, escaped...)
}

// maybe appends markup around a text, if there is one.
func (d *document) maybe(format, text string) {
	if text != "" {
		d.put(format, text)
	}
}

// list appends an element for each text, all of them in another.
func (d *document) list(open, each, end string, texts []string) {
	if len(texts) == 0 {
		return
	}
	d.put(open)
	for _, text := range texts {
		d.put(each, text)
	}
	d.put(end)
}

// render is the whole page.
func render(v *view) string {
	d := &document{}
	d.head(v)
	d.put("<main>\n")
	d.failure(v)
	d.short(v)
	d.kinds(v)
	d.fall(v)
	d.steps(v)
	for _, img := range v.Images {
		d.image(img, v.Several)
	}
	d.memory(v)
	d.words(v)
	d.put("</main>\n<footer><p class=\"quiet\">This page needs nothing from elsewhere. It shows the text of the Dockerfile, values of build arguments " +
		"where that text or a command’s output has them, and addresses; secrets are taken out of what commands write.</p></footer>\n</body>\n</html>\n")
	return d.b.String()
}

// policy forbids the browser all but what the page contains.
const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

func (d *document) head(v *view) {
	d.put(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="%s">
<title>%s – build report</title>
<link rel="icon" href="data:,">
<style>
`, policy, v.Title)
	d.b.WriteString(styleText)
	d.put(`</style>
</head>
<body>
<header>
<p class="eyebrow">Build report</p>
<h1>%s</h1>
<p class="states"><span class="badge %s">%s</span>`, v.Title, v.State, v.State)
	d.list("", ` <span class="name">%s</span>`, "", v.Names)
	d.put("</p>\n")
	if v.Digest != "" {
		d.put("<p class=\"digest\"><span class=\"quiet\">%s</span> <code>%s</code></p>\n", v.DigestOf, v.Digest)
	}
	d.put("<p class=\"quiet\">%s, by %s</p>\n</header>\n", v.When, v.Program)
}

func (d *document) failure(v *view) {
	f := v.Failure
	if f == nil {
		return
	}
	d.put("<section class=\"failure\" aria-labelledby=\"failure\">\n<h2 id=\"failure\">Why it failed</h2>\n")
	if v.FailedStep != nil {
		d.put("<p>In ")
		d.step(v.FailedStep)
		d.put("</p>\n")
	}
	d.put("<p class=\"error\">%s</p>\n", f.Error)
	d.maybe("<p><strong>Hint:</strong> %s</p>\n", f.Hint)
	d.list("<h3>The last lines of the command</h3>\n<pre tabindex=\"0\">", "%s\n", "</pre>\n", f.Output)
	d.maybe("<h3>In the Dockerfile</h3>\n<pre tabindex=\"0\">%s</pre>\n", f.Excerpt)
	d.put("</section>\n")
}

// step names a step, with a way to its entry.
func (d *document) step(s *stepRef) {
	d.put(`<a href="#%s">%s</a> <code>%s</code>`, s.Anchor, s.Label, s.Text)
}

func (d *document) short(v *view) {
	d.put("<section aria-labelledby=\"short\">\n<h2 id=\"short\">In short</h2>\n<dl class=\"facts\">\n")
	for _, f := range v.Facts {
		d.put("<div><dt>%s</dt><dd>%s</dd>", f.Name, f.Value)
		d.maybe(`<dd class="quiet">%s</dd>`, f.Note)
		d.put("</div>\n")
	}
	d.put("</dl>\n")
	if len(v.Brief) > 0 {
		d.put("<ul class=\"brief\">\n")
		for _, s := range v.Brief {
			d.put("<li>%s", s.Before)
			d.step(s.Step)
			d.put("%s</li>\n", s.After)
		}
		d.put("</ul>\n")
	}
	d.put("</section>\n")
}

func (d *document) kinds(v *view) {
	d.put(`<section aria-labelledby="went">
<h2 id="went">Where the time went</h2>
<table class="kinds">
<thead><tr><th scope="col">Work</th><th scope="col" class="plotted"><span class="hidden">Part of the build</span></th>` +
		`<th scope="col" class="n">Wall</th><th scope="col" class="n">Time</th><th scope="col" class="n wide">Times</th><th scope="col" class="n">Bytes</th></tr></thead>
<tbody>
`)
	for _, row := range v.Kinds {
		d.put(`<tr><th scope="row"><span class="swatch k-%s"></span>%s</th><td class="plotted">`, row.Kind, row.Kind)
		if row.Within {
			d.put(`<span class="quiet">part of copy and capture</span>`)
		} else {
			d.share("k-"+string(row.Kind), row.Share, row.Percent+" of the build")
		}
		d.put("</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n wide\">%s</td><td class=\"n\">%s</td></tr>\n", row.Wall, row.Time, row.Times, row.Bytes)
	}
	d.put("</tbody>\n</table>\n<p class=\"quiet\">Wall is the time in which at least one such piece of work went on; several kinds go on at once. " +
		"Time adds up what each of them took.</p>\n</section>\n")
}

// share is a bar of so many percent.
func (d *document) share(class string, percent float64, title string) {
	d.put(`<span class="share" title="%s"><span class="%s" style="width:%v%%"></span></span>`, title, class, percent)
}

func (d *document) memory(v *view) {
	m := v.Memory
	if m == nil {
		return
	}
	d.put(`<section aria-labelledby="memory">
<h2 id="memory">Memory</h2>
<p>%s</p>
<figure>
<div class="chart" style="--tick:%v%%">
<span class="top quiet" aria-hidden="true">%s</span>
<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="%s">
<polygon class="area" points="0,100 %s 1000,100"/>
<polyline class="process" points="%s"/>
`, m.Text, v.Axis.Step, m.Most, m.Text, m.Process, m.Process)
	d.maybe("<polyline class=\"cgroup\" points=\"%s\"/>\n", m.Group)
	d.put("</svg>\n<div class=\"row axis\" aria-hidden=\"true\">")
	d.ticks(v.Axis)
	d.put("</div>\n</div>\n<figcaption><ul class=\"legend\"><li><span class=\"swatch process\"></span>the executor’s own process</li>")
	if m.Group != "" {
		d.put("<li><span class=\"swatch cgroup\"></span>its control group: commands of RUN and cached files as well</li>")
	}
	d.put("</ul></figcaption>\n</figure>\n</section>\n")
}

func (d *document) words(v *view) {
	d.put("<section aria-labelledby=\"words\">\n<h2 id=\"words\">What the words mean</h2>\n<dl class=\"words\">\n")
	for _, f := range v.Words {
		d.put("<div><dt>%s</dt><dd>%s</dd></div>\n", f.Name, f.Value)
	}
	d.put("</dl>\n</section>\n")
}
