package inplace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// apply unpacks one layer.
func (d *Driver) apply(ctx context.Context, l sandbox.Layer) error {
	d.state.NewLayer()
	a := &applier{d: d, undo: d.newUndo()}
	err := a.layer(ctx, l)
	if err := errors.Join(err, a.close()); err != nil {
		return err
	}
	d.past.add(level{key: l.Key, undo: a.undo})
	return nil
}

// applier is a layer being unpacked, onto the root and into its shadow.
type applier struct {
	d      *Driver
	root   *disk.Writer
	shadow *disk.Writer
	undo   *undo
}

func (a *applier) layer(ctx context.Context, l sandbox.Layer) error {
	for c, err := range l.Changes(ctx) {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := a.change(c); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) close() error {
	var errs []error
	for _, w := range []*disk.Writer{a.root, a.shadow} {
		if w != nil {
			errs = append(errs, w.Close())
		}
	}
	return errors.Join(errs...)
}

func (a *applier) change(c layer.Change) error {
	d := a.d
	d.touch(c)
	held := d.protect.covers(c.Path)
	a.undo.applying(d, c, held)
	if !held && c.Kind == layer.Put && d.protect.leads(c.Path) && !c.Node.IsDir() {
		// Such as /var/run, a link in most images, where the runtime has mounted a
		// secret below /var/run: the directory must stay, so layers keep their link and
		// commands see the directory, without what earlier layers had in it.
		if _, err := a.write(false, layer.Change{Path: c.Path, Kind: layer.Delete}); err != nil {
			return err
		}
		a.root.Hold(c.Path)
		d.protect.block(c.Path)
		d.stamps = nil
		d.warn("block "+string(c.Path), fmt.Sprintf("%s stays a directory for the commands, since something is mounted in it", c.Path.Abs()))
		held = true
	}
	if c.Hard != "" && c.Kind == layer.Put && held != d.protect.covers(c.Hard) {
		// A link cannot lead from the root to its shadow: it becomes a copy on disk,
		// while the layers' view keeps the link.
		n, ok := d.state.Tree().Lookup(c.Hard)
		if !ok {
			return fmt.Errorf("link %s: %s is not there", c.Path.Abs(), c.Hard.Abs())
		}
		copied := c
		copied.Hard, copied.Node = "", n
		copied.Open = func() (io.ReadCloser, error) { return d.read(c.Hard) }
		if _, err := a.write(held, copied); err != nil {
			return err
		}
		return d.state.Applied(c)
	}
	if !held && (c.Kind == layer.Delete || c.Kind == layer.Opaque) && d.protect.leads(c.Path) {
		// What layers have at the paths held below goes with it.
		if _, err := a.write(true, c); err != nil {
			return err
		}
	}
	n, err := a.write(held, c)
	if err != nil {
		return err
	}
	c.Node = n
	return d.state.Applied(c)
}

func (a *applier) write(held bool, c layer.Change) (tree.Node, error) {
	w, err := a.writer(held)
	if err != nil {
		return c.Node, err
	}
	return w.Put(c)
}

func (a *applier) writer(shadow bool) (_ *disk.Writer, err error) {
	o := disk.WriterOptions{Refused: a.d.refused}
	if shadow {
		if a.shadow == nil {
			if err := a.d.makeShadow(); err != nil {
				return nil, err
			}
			a.shadow, err = disk.NewWriter(a.d.path("shadow"), o)
		}
		return a.shadow, err
	}
	if a.root == nil {
		o.Held = a.d.protect.held()
		a.root, err = disk.NewWriter("/", o)
	}
	return a.root, err
}

func (d *Driver) makeShadow() error { return os.MkdirAll(d.path("shadow"), 0o700) }

// openShadow makes d.shadow readable.
func (d *Driver) openShadow() error {
	if d.shadow != nil {
		return nil
	}
	if err := d.makeShadow(); err != nil {
		return err
	}
	var err error
	d.shadow, err = disk.Open(d.path("shadow"), disk.Options{})
	return err
}

// refused lets a layer be unpacked without what this container cannot make. The
// layers' view keeps it.
func (d *Driver) refused(r disk.Refusal) error {
	d.warn(r.What, fmt.Sprintf("commands see %s without its %s, which this container does not allow to make: %v (said once)",
		r.Path.Abs(), r.What, r.Err))
	return nil
}

// touch notes what a change is about to do to the stamps.
func (d *Driver) touch(c layer.Change) {
	if d.stamps == nil || d.protect.covers(c.Path) {
		return
	}
	t := d.state.Tree()
	old, exists := t.Lookup(c.Path)
	if c.Kind != layer.Put || exists && old.IsDir() && c.Hard == "" && !c.Node.IsDir() || exists && old.IsDir() && c.Hard != "" {
		// Whole directories go, and links of what is in them may be anywhere.
		d.stamps = nil
		return
	}
	for p := c.Path; ; p = p.Parent() {
		d.mark(p)
		// What is replaced, or gets another name, shows that in all its names.
		for _, q := range t.Links(p) {
			d.mark(q)
		}
		if n, ok := t.Lookup(p.Parent()); p == tree.Root || ok && n.IsDir() {
			break
		}
	}
	if c.Hard != "" {
		d.mark(c.Hard)
		for _, q := range t.Links(c.Hard) {
			d.mark(q)
		}
	}
}

// mark notes that the entry p changes: its directory's entries, and therewith the
// directory itself.
func (d *Driver) mark(p tree.Path) {
	d.touched[p.Parent()] = true
	d.touched[p.Parent().Parent()] = true
}
