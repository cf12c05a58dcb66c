package report

import (
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
)

// maxMarkdown bounds the report, in bytes: comments on GitHub have 65,536 characters at
// most.
const maxMarkdown = 60_000

// roomForEnd is kept for what closes a report that was cut.
const roomForEnd = 400

// markdown is the report for a comment, a part of each image to fold out. Where it
// would be too long it ends with how much is left out.
func markdown(r *compare.Result, o Options) string {
	m := &comment{}
	m.add(fmt.Sprintf("### %s\n\n| | image | digest |\n|---|---|---|\n", mark(r)+capital(summary(r))))
	m.add(fmt.Sprintf("| a | %s | %s |\n| b | %s | %s |\n", code(value(r.A.Name)), code(r.A.Digest), code(value(r.B.Name)), code(r.B.Digest)))
	if all := o.shown(r.Differences); len(all) > 0 {
		m.group(group{title: "index", all: all})
	}
	for _, p := range r.Images {
		parts := groups(p, o)
		if len(parts) > 0 && name(p) != "" {
			m.add(fmt.Sprintf("\n#### %s\n", escape(name(p))))
		}
		for _, g := range parts {
			m.group(g)
		}
	}
	if len(r.Rules) > 0 {
		m.add("\n<details><summary>Rules</summary>\n\n")
		for _, rule := range r.Rules {
			m.add(fmt.Sprintf("* %s: %s\n", code(value(rule.Rule)), counted(rule.Count, "difference")))
		}
		m.add("\n</details>\n")
	}
	for _, note := range r.Notes {
		m.add("\n> " + escape(value(note)) + "\n")
	}
	return m.end()
}

func mark(r *compare.Result) string {
	switch r.Verdict {
	case compare.Different:
		return "❌ "
	case compare.Equal:
		return "🟡 "
	}
	return "✅ "
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// comment is a report under way.
type comment struct {
	b    strings.Builder
	open bool // there is a part to fold out that has not ended
	left int  // differences that there was no room for
	full bool
}

// add appends text, if there is room for it and was for all before.
func (m *comment) add(text string) bool {
	if m.full || m.b.Len()+len(text) > maxMarkdown-roomForEnd {
		m.full = true
		return false
	}
	m.b.WriteString(text)
	return true
}

func (m *comment) group(g group) {
	if !m.add(fmt.Sprintf("\n<details><summary>%s: %s</summary>\n\n| path | what | a | b |\n|---|---|---|---|\n", heading(g), counted(len(g.all), "difference"))) {
		m.left += len(g.all)
		return
	}
	m.open = true
	for _, d := range g.all {
		field := code(value(d.Field))
		if d.Ignored != "" {
			field += " *(ignored: " + escape(d.Ignored) + ")*"
		}
		if !m.add(fmt.Sprintf("| %s | %s | %s | %s |\n", code(plain(d.Path)), field, code(value(d.A)), code(value(d.B)))) {
			m.left++
		}
	}
	for _, d := range g.all {
		if d.Text != "" {
			fence := fenceOf(d.Text)
			m.add(fmt.Sprintf("\n%s\n%sdiff\n%s%s\n", code(plain(d.Path)), fence, plainLines(d.Text), fence))
		}
	}
	if m.add("\n</details>\n") {
		m.open = false
	}
}

// fenceOf is longer than every run of backticks in a text.
func fenceOf(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence
}

func heading(g group) string {
	if g.layer == nil || g.layer.CreatedBy == "" {
		return escape(g.title)
	}
	return escape(g.title) + " <code>" + escape(value(g.layer.CreatedBy)) + "</code>"
}

// end closes what is open, and says what is missing.
func (m *comment) end() string {
	if m.full {
		if m.open {
			m.b.WriteString("\n</details>\n")
		}
		fmt.Fprintf(&m.b, "\n**Cut off**: %s, or their texts, had no room here. The forms json and html have all.\n", counted(m.left, "difference"))
	}
	return m.b.String()
}

// code is text as code in a cell of a table.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + escape(s) + "</code>"
}

// escape makes text of what Markdown and HTML would take for more.
func escape(s string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;", "`", "&#96;", "*", "&#42;", "_", "&#95;", "[", "&#91;", "]", "&#93;", "@", "&#64;", "#", "&#35;", "\\", "&#92;", "~", "&#126;",
	).Replace(plain(s))
}
