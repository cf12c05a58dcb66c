package inplace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// goBack undoes what is on the root beyond what the layers begin with, and gives back
// those that are missing then. It reports false if it cannot, or is not certain to come
// to what unpacking would: then the root is in no known state, and is to be emptied. An
// error is only that of ctx.
func (d *Driver) goBack(ctx context.Context, layers []sandbox.Layer) (rest []sandbox.Layer, ok bool, err error) {
	if !d.valid || len(d.past.levels) == 0 {
		return nil, false, nil
	}
	to, same := d.past.match(layers)
	if to == 0 {
		return nil, false, nil
	}
	r, why := d.retreat(to)
	if why != "" {
		d.debug("does not go back: " + why)
		return nil, false, nil
	}
	d.valid = false
	opened, err := d.retrace(ctx, r, layers[:same])
	if err == nil {
		err = d.forget(r, to)
	}
	if err == nil && len(layers) == same {
		err = d.count(ctx)
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	if err != nil {
		d.debug("does not go back: " + err.Error())
		return nil, false, nil
	}
	d.valid = true
	d.debug(fmt.Sprintf("went back to %d layers: %d paths taken away, %d put, %d layers read", to, len(r.gone), len(r.put)+len(r.files), opened))
	return layers[same:], true, nil
}

// retreat is what is to be done to go back.
type retreat struct {
	gone  []tree.Path    // what was not there
	put   []layer.Change // what needs no layer to be read, parents first
	files []layer.Change // files with content, without it
}

// retreat plans to undo all levels but the lowest; why says why that must not be.
func (d *Driver) retreat(to int) (r retreat, why string) {
	if why := d.unclear(); why != "" {
		return r, why
	}
	for _, l := range d.past.levels[:to] {
		if l.undo.unlike != "" {
			return r, l.undo.unlike
		}
	}
	before, gone := map[tree.Path]*was{}, map[tree.Path]bool{}
	for _, l := range slices.Backward(d.past.levels[to:]) {
		if l.undo.lost != "" {
			return r, l.undo.lost
		}
		// A lower level knows better than those above it, also of what was not there:
		// that goes, with all that came there since, and if there was something still
		// earlier, a level below knows all of it.
		maps.DeleteFunc(before, func(p tree.Path, _ *was) bool { return l.undo.missing(p) })
		for p, w := range l.undo.before {
			before[p] = w
			if w == nil {
				gone[p] = true
			}
		}
	}
	r.gone = outermost(gone)
	for _, p := range slices.SortedFunc(maps.Keys(before), tree.Compare) {
		if before[p] == nil {
			continue
		}
		if why := r.add(p, before[p]); why != "" {
			return r, why
		}
	}
	return r, ""
}

// unclear says why the root may be other than what the levels tell.
func (d *Driver) unclear() string {
	switch err := d.protect.refresh(); {
	case err != nil:
		return err.Error()
	case d.ran:
		return "a command's changes were not captured"
	case len(d.protect.blocked) > 0:
		return "a directory stays that is none in the image"
	case !slices.Equal(d.past.held, d.protect.held()):
		return "mounts came or went"
	case exists(d.path(journalName)):
		return "what a command saw mounted could not be taken away"
	}
	return ""
}

// add plans to make p what it was.
func (r *retreat) add(p tree.Path, w *was) (why string) {
	c := layer.Change{Path: p, Kind: layer.Put, Node: w.Node}
	switch {
	case w.several:
		return p.Abs() + " had several names"
	case w.Type != tree.File || w.Size == 0:
		r.put = append(r.put, c)
	case w.Fingerprint == 0:
		return "nobody has read what " + p.Abs() + " was"
	default:
		r.files = append(r.files, c)
	}
	return ""
}

// outermost are the paths that lie within no other of them, in order.
func outermost(paths map[tree.Path]bool) []tree.Path {
	var list []tree.Path
	for _, p := range slices.SortedFunc(maps.Keys(paths), tree.Compare) {
		if len(list) == 0 || !p.Within(list[len(list)-1]) {
			list = append(list, p)
		}
	}
	return list
}

// retrace does to the root what the retreat says. Contents come from layers, of which it
// opens as few as it can.
func (d *Driver) retrace(ctx context.Context, r retreat, layers []sandbox.Layer) (opened int, err error) {
	w, err := disk.NewWriter("/", disk.WriterOptions{Refused: d.refused, Held: d.protect.held()})
	if err != nil {
		return 0, err
	}
	err = r.write(ctx, w)
	if err == nil {
		opened, err = r.restore(ctx, w, layers)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return opened, err
	}
	// What was put lay in a directory that is there, or was put before it.
	if more := w.Implied(); len(more) > 0 {
		return opened, fmt.Errorf("nothing is known of %s", more[0].Abs())
	}
	return opened, d.bareIgnored()
}

// write does all that needs no layer.
func (r *retreat) write(ctx context.Context, w *disk.Writer) error {
	for _, p := range r.gone {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := w.Put(layer.Change{Path: p, Kind: layer.Delete}); err != nil {
			return err
		}
	}
	for _, c := range r.put {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := w.Put(c); err != nil {
			return err
		}
	}
	return nil
}

// restore writes the files anew, with what the layers have of them: the uppermost that
// has the same content will do.
func (r *retreat) restore(ctx context.Context, w *disk.Writer, layers []sandbox.Layer) (opened int, err error) {
	wanted := map[tree.Path]tree.Node{}
	for _, c := range r.files {
		wanted[c.Path] = c.Node
	}
	for _, l := range slices.Backward(layers) {
		if len(wanted) == 0 {
			break
		}
		opened++
		if err := restoreFrom(ctx, l, w, wanted); err != nil {
			return opened, err
		}
	}
	for p := range wanted {
		return opened, fmt.Errorf("no layer has %s as it was", p.Abs())
	}
	return opened, nil
}

// restoreFrom takes from wanted what it finds in the layer.
func restoreFrom(ctx context.Context, l sandbox.Layer, w *disk.Writer, wanted map[tree.Path]tree.Node) error {
	for c, err := range l.Changes(ctx) {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		n, ok := wanted[c.Path]
		if !ok || c.Kind != layer.Put || c.Hard != "" || c.Node.Type != tree.File || c.Node.Size != n.Size {
			continue
		}
		made, err := w.Put(layer.Change{Path: c.Path, Kind: layer.Put, Node: n, Open: c.Open})
		if err != nil {
			return err
		}
		if made.Fingerprint == n.Fingerprint {
			delete(wanted, c.Path)
		}
		if len(wanted) == 0 {
			break
		}
	}
	return nil
}

// bareIgnored takes away what commands left where nobody looks, as emptying the root does.
func (d *Driver) bareIgnored() error {
	for p := range d.protect.all.in {
		if d.protect.kept.in[p] {
			continue
		}
		if err := d.trash.bare(p, d.protect.kept); err != nil {
			return err
		}
	}
	return nil
}

// forget makes the driver know no more than the lowest levels, to which the root went back.
func (d *Driver) forget(r retreat, to int) error {
	d.state.NewLayer()
	for _, p := range r.gone {
		if err := d.state.Applied(layer.Change{Path: p, Kind: layer.Delete}); err != nil {
			return err
		}
	}
	for _, list := range [][]layer.Change{r.put, r.files} {
		for _, c := range list {
			if err := d.state.Applied(c); err != nil {
				return err
			}
		}
	}
	d.state.NewLayer()
	clear(d.past.levels[to:])
	d.past.levels = d.past.levels[:to]
	d.stamps, d.touched = nil, map[tree.Path]bool{}
	return d.unwatch()
}

// count takes the stamps, which a command needs anyway, and is an error if the root has
// not as many entries as it had.
func (d *Driver) count(ctx context.Context) error {
	had := d.past.levels[len(d.past.levels)-1].entries
	if had == 0 {
		return nil
	}
	if err := d.lookAtAll(ctx); err != nil {
		return err
	}
	if has := d.stamps.Len(); has != had {
		return fmt.Errorf("there are %d entries and there were %d", has, had)
	}
	return nil
}
