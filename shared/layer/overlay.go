package layer

import (
	"fmt"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Overlay does to t what the changes of one layer say. A whiteout hides only
// what was there before the layer, wherever in the stream it stands.
func Overlay(t *tree.Tree, changes Changes) error {
	o := NewOverlay(t)
	for c, err := range changes {
		if err != nil {
			return err
		}
		if err := o.Add(c); err != nil {
			return err
		}
	}
	return nil
}

// An Overlayer applies one layer to a tree, change by change.
type Overlayer struct {
	tree *tree.Tree
	// put marks what this layer has put, and the directories above, so that its own
	// whiteouts spare that.
	put tree.Mark
}

// NewOverlay starts a layer on top of t.
func NewOverlay(t *tree.Tree) *Overlayer {
	return &Overlayer{tree: t, put: t.NewMark()}
}

// Add applies the next change of the layer.
func (o *Overlayer) Add(c Change) error {
	switch c.Kind {
	case Delete:
		o.hide(c.Path)
	case Opaque:
		o.hideChildren(c.Path)
	case Put:
		return o.add(c)
	}
	return nil
}

func (o *Overlayer) add(c Change) error {
	if c.Hard != "" {
		if err := o.tree.Link(c.Path, c.Hard); err != nil {
			return &DamagedError{fmt.Errorf("hard link %s to %s: the target is not there", c.Path.Abs(), c.Hard.Abs())}
		}
	} else {
		o.tree.Put(c.Path, c.Node)
	}
	o.tree.Mark(c.Path, o.put)
	return nil
}

// hide removes p, except for what this layer has put at it or below.
func (o *Overlayer) hide(p tree.Path) {
	if !o.tree.Marked(p, o.put) {
		o.tree.Remove(p)
		return
	}
	o.hideChildren(p)
}

func (o *Overlayer) hideChildren(p tree.Path) {
	var names []tree.Path
	for e, err := range o.tree.Walk(p) {
		if err != nil {
			return
		}
		if e.Path != p && e.Path.Parent() == p {
			names = append(names, e.Path)
		}
	}
	for _, child := range names {
		o.hide(child)
	}
}
