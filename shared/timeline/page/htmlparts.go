package page

func (d *document) fall(v *view) {
	if len(v.Groups) == 0 {
		return
	}
	d.put("<section aria-labelledby=\"fall\">\n<h2 id=\"fall\">What went on when</h2>\n<ul class=\"legend\">")
	for _, l := range v.Legend {
		d.put(`<li><span class="swatch k-%s"></span>%s</li>`, l.Kind, l.Text)
	}
	d.put("</ul>\n<div class=\"fall\" style=\"--tick:%v%%\">\n<div class=\"row axis\" aria-hidden=\"true\"><span class=\"label\"></span>", v.Axis.Step)
	d.ticks(v.Axis)
	d.put("<span class=\"took\"></span></div>\n")
	for _, g := range v.Groups {
		d.group(g)
	}
	d.put("</div>\n")
	d.maybe("<p class=\"quiet\">%s</p>\n", v.NotShown)
	d.put("</section>\n")
}

// ticks are the labels of an axis.
func (d *document) ticks(a axis) {
	d.put(`<span class="track">`)
	for _, t := range a.Ticks {
		class := "tick"
		if t.Last {
			class = "tick last"
		}
		d.put(`<span class="%s" style="left:%v%%">%s</span>`, class, t.At, t.Label)
	}
	d.put(`</span>`)
}

func (d *document) group(g group) {
	d.put("<section class=\"group\" aria-label=\"%s\">\n<h3 class=\"row head\"><span class=\"label\"><span>%s</span>", g.Title, g.Title)
	if g.Note != "" {
		d.put(` <span class="what quiet" title="%s">%s</span>`, g.Note, g.Note)
	}
	d.put(`</span><span class="track">`)
	if g.Bar != nil {
		d.bar(*g.Bar)
	}
	d.put("</span><span class=\"took\">%s</span></h3>\n", g.Took)
	d.rows(g.Rows)
	if len(g.More) > 0 {
		d.put("<details><summary>%s</summary>", g.MoreText)
		d.rows(g.More)
		d.put("</details>\n")
	}
	d.put("</section>\n")
}

// bar stays within the plot although it is as wide at least as can be seen.
func (d *document) bar(b bar) {
	d.put(`<span class="bar %s" style="left:min(%v%%, 100%% - 3px);width:%v%%" title="%s"></span>`, b.Class, b.Left, b.Width, b.Title)
}

func (d *document) rows(rows []row) {
	if len(rows) == 0 {
		return
	}
	d.put("<ul>")
	for _, r := range rows {
		d.put(`<li class="row %s"><span class="label" title="%s">`, r.State, r.Full)
		if r.Anchor != "" {
			d.put(`<a class="what" href="#%s">%s</a>`, r.Anchor, r.Label)
		} else {
			d.put(`<span class="what">%s</span>`, r.Label)
		}
		if r.Mark != "" {
			d.put(` <span class="badge %s">%s</span>`, r.State, r.Mark)
		}
		d.put(`</span><span class="track" role="img" aria-label="%s">`, r.Says)
		for _, b := range r.Bars {
			d.bar(b)
		}
		d.put(`</span><span class="took">%s`, r.Took)
		d.maybe(` <span class="quiet">%s</span>`, r.Bytes)
		d.put("</span></li>\n")
	}
	d.put("</ul>\n")
}

func (d *document) steps(v *view) {
	if len(v.Stages)+len(v.Unbegun) == 0 {
		return
	}
	d.put("<section aria-labelledby=\"steps\">\n<h2 id=\"steps\">Steps, and what the cache had</h2>\n")
	d.maybe("<p>%s</p>\n", v.CacheText)
	for _, st := range v.Stages {
		d.put("<h3>%s <span class=\"quiet\">%s</span></h3>\n", st.Title, st.Note)
		d.maybe("<p class=\"error\">%s</p>\n", st.Err)
		if len(st.Steps) > 0 {
			d.put("<ol class=\"steps\">\n")
			for _, s := range st.Steps {
				d.entry(s)
			}
			d.put("</ol>\n")
		}
	}
	if len(v.Unbegun) > 0 {
		d.put("<h3>Not begun</h3><p class=\"quiet\">%s</p>", v.UnbegunWhy)
		d.list("<ul>", "<li>%s</li>", "</ul>\n", v.Unbegun)
	}
	d.put("</section>\n")
}

// entry is a step in the list of steps.
func (d *document) entry(s stepView) {
	class := "s-" + string(s.State)
	if s.Meta {
		class += " meta"
	}
	d.put(`<li id="%s" class="%s" value="%d"><div class="line"><code>%s</code>`, s.Anchor, class, s.Number, s.Text)
	if !s.Meta {
		d.put(`<span class="badge %s">%s</span>`, s.State, s.State)
	}
	d.put("</div>\n")
	d.maybe("<p class=\"quiet\">%s</p>\n", s.Details)
	d.list("<p class=\"why\">Not in the cache, because</p><ul class=\"missed\">", "<li>%s</li>", "</ul>\n", s.Missed)
	d.put("</li>\n")
}

func (d *document) image(img imageView, several bool) {
	d.put("<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">Layers", img.ID, img.ID)
	d.maybe(" of the image for %s", img.Platform)
	d.put("</h2>\n")
	if several {
		d.put("<p class=\"digest\"><code>%s</code></p>\n", img.Digest)
	}
	d.put("<p class=\"quiet\">%s</p>\n", img.Text)
	if len(img.Layers) > 0 {
		d.put(`<table class="layers">
<thead><tr><th scope="col" class="n">No.</th><th scope="col">From</th><th scope="col" class="n">Size</th>` +
			`<th scope="col" class="plotted"><span class="hidden">Part of the image</span></th><th scope="col" class="wide">Digest</th></tr></thead>
<tbody>
`)
		for _, l := range img.Layers {
			d.layer(l)
		}
		d.put("</tbody>\n</table>\n")
	}
	d.put("</section>\n")
}

func (d *document) layer(l layerView) {
	d.put(`<tr><td class="n">%d</td><td class="from">`, l.Number)
	if l.Step != nil {
		d.step(l.Step)
	} else {
		d.put("%s", l.From)
	}
	if l.Cached {
		d.put(` <span class="badge cached">cached</span>`)
	}
	d.put(`</td><td class="n">%s</td><td class="plotted">`, l.Size)
	d.share(l.Class, l.Share, l.Percent+" of the image")
	d.put("</td><td class=\"wide\"><code title=\"%s\">%s</code></td></tr>\n", l.Digest, l.Short)
}
