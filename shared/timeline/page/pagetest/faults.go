package pagetest

import (
	"os"
	"path/filepath"
	"testing"
)

// Faults is what is wrong with a page as a browser has laid it out: a function that
// returns lines of text. What it measures contrast by is WCAG 2.2 (relative luminance,
// 1.4.3 and 1.4.11): 4.5 for text, 3 for what else must be seen.
const Faults = `(function () {
  const bad = [];
  const visible = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0; };
  const name = e => e.tagName + "." + e.className + " " + JSON.stringify((e.textContent || "").trim().slice(0, 40));
  const wide = document.documentElement.clientWidth;
  document.querySelectorAll("details").forEach(d => d.open = true);
  if (document.documentElement.scrollWidth > wide) bad.push("the page is " + document.documentElement.scrollWidth + " wide");
  const scrolls = e => e && (e.matches("pre, .hidden, .layers thead, .differences thead") || scrolls(e.parentElement));
  const clipped = e => e && (e.matches(".what") || clipped(e.parentElement));
  const cut = e => {
    for (let p = e.parentElement; p; p = p.parentElement) {
      const o = getComputedStyle(p).overflowX;
      if (o !== "visible" && !p.matches(".what, pre, .share, .hidden, .layers thead, .differences thead, html, body")) return p;
    }
  };
  for (const e of document.querySelectorAll("body *")) {
    const r = e.getBoundingClientRect();
    if (!visible(e) || scrolls(e)) continue;
    if (r.right > wide + .5 && !clipped(e) || r.left < -.5) bad.push("out of the page: " + name(e));
    if (!e.closest("svg") && cut(e)) bad.push("cut off by " + name(cut(e)) + ": " + name(e));
  }
  const boxes = [...document.querySelectorAll("td, th, .facts > div, .label, .took, .line, li > p")];
  for (const e of boxes) {
    if (visible(e) && !scrolls(e) && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline") bad.push("runs over its box: " + name(e));
  }
  for (const e of document.querySelectorAll(".row")) {
    const [l, t] = [e.querySelector(".label"), e.querySelector(".took")].map(x => x && x.getBoundingClientRect());
    if (l && t && l.right > t.left && l.bottom > t.top + 1 && t.bottom > l.top + 1 && t.width > 0) bad.push("words overlap: " + name(e));
  }
  const parts = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = c => { const [r, g, b] = parts(c).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const clear = c => { const p = parts(c); return p.length === 4 && p[3] === 0; };
  const under = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!clear(c)) return c; } return "rgb(255,255,255)"; };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const told = new Set();
  const demand = (least, a, b, what) => {
    const c = contrast(a, b), text = what + ": contrast " + c.toFixed(2) + " of " + a + " on " + b;
    if (c < least && !told.has(text)) { told.add(text); bad.push(text); }
  };
  for (const e of document.querySelectorAll("body *")) {
    if (visible(e) && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) demand(4.5, getComputedStyle(e).color, under(e), "text " + e.tagName + "." + e.className);
  }
  for (const e of document.querySelectorAll(".bar, .swatch, .share > span")) {
    const s = getComputedStyle(e), c = clear(s.backgroundColor) ? (s.borderStyle === "solid" ? s.borderColor : null) : s.backgroundColor;
    if (c) demand(3, c, under(e.parentElement), "mark " + e.className);
  }
  for (const e of document.querySelectorAll("polyline")) demand(3, getComputedStyle(e).stroke, under(e), "line " + e.getAttribute("class"));
  for (const bar of document.querySelectorAll(".bar")) {
    const b = bar.getBoundingClientRect(), t = bar.closest(".track").getBoundingClientRect();
    if (b.width < 1 || b.height < 1) bad.push("not to be seen: " + bar.title);
    if (b.left < t.left - .5 || b.right > t.right + .5 || b.top < t.top - .5 || b.bottom > t.bottom + .5) bad.push("outside of the plot: " + bar.title + " " + [b.left, b.right, t.left, t.right]);
  }
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  if (new Set(ids).size !== ids.length) bad.push("two elements have one id");
  for (const a of document.querySelectorAll("a")) if (!document.getElementById((a.getAttribute("href") || "").slice(1))) bad.push("leads nowhere: " + name(a));
  if (document.scripts.length) bad.push("there are scripts");
  return bad;
})()`

// For has what goes wrong from now on be the failure of another test.
func (c *Chromium) For(t *testing.T) { c.t = t }

// Picture leaves a picture of the page in the directory KANIKO_SCREENSHOTS, if there is
// one, for people to look at.
func (c *Chromium) Picture(name string) {
	c.t.Helper()
	dir := os.Getenv("KANIKO_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data []byte }
	c.Do("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true, "format": "png"}, &shot)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o644); err != nil {
		c.t.Error(err)
	}
}
