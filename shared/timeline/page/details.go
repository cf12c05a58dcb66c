package page

import (
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/timeline"
)

// stageView is a stage in the list of steps.
type stageView struct {
	Title, Note, Err string
	Steps            []stepView
}

// stepView is a step there.
type stepView struct {
	Anchor, Text string
	Number       int
	Meta         bool
	State        timeline.State
	Details      string
	Missed       []string
}

func (b *builder) stages() []stageView {
	var all []stageView
	for i := range b.t.Stages {
		st := &b.t.Stages[i]
		v := stageView{Title: "Stage " + strings.TrimPrefix(st.Title(), "stage "), Note: b.stageNote(st)}
		failed := false
		for j := range st.Steps {
			s := &st.Steps[j]
			failed = failed || s.State == timeline.Failed
			v.Steps = append(v.Steps, b.step(s))
		}
		if !failed { // else the step has it
			v.Err = st.Err
		}
		all = append(all, v)
	}
	return all
}

func (b *builder) step(s *timeline.Step) stepView {
	v := stepView{Anchor: b.anchors[s], Text: s.Text, Number: s.Number, Meta: s.Meta, State: s.State, Missed: s.Missed}
	if s.Meta {
		return v
	}
	words := []string{timeline.Seconds(s.Took())}
	if split := s.Split(); s.State == timeline.Done && split != "" {
		words[0] += " (" + split + ")"
	}
	switch {
	case s.Digest != "" && s.Files > 0:
		words = append(words, "layer of "+timeline.Bytes(s.Size)+" with "+count(s.Files, "file"))
	case s.Digest != "":
		words = append(words, "layer of "+timeline.Bytes(s.Size))
	case s.State == timeline.Done && s.Files == 0:
		words = append(words, "no file changed")
	case s.State == timeline.Done:
		words = append(words, count(s.Files, "file")+" changed")
	}
	if s.State == timeline.Cached && s.From != "" {
		words = append(words, "from "+s.From)
	}
	v.Details = strings.Join(words, " · ")
	return v
}

// imageView is an image with its layers.
type imageView struct {
	ID, Platform, Digest, Text string
	Layers                     []layerView
}

// layerView is a layer of it.
type layerView struct {
	Number               int
	Step                 *stepRef // that made it; nil if it is of none
	From                 string   // where it is from, without a step
	Cached               bool
	Size, Percent        string
	Share                float64
	Class, Digest, Short string
}

func (b *builder) images() []imageView {
	var all []imageView
	for i, img := range b.Report.Images {
		v := imageView{ID: fmt.Sprintf("image-%d", i+1), Digest: img.Digest, Text: fmt.Sprintf("%s, %s compressed.", count(len(img.Layers), "layer"), timeline.Bytes(img.Size))}
		if len(b.Report.Images) > 1 {
			v.Platform = img.Platform
		}
		var largest int64
		for _, l := range img.Layers {
			largest = max(largest, l.Size)
		}
		for j, l := range img.Layers {
			v.Layers = append(v.Layers, b.layer(img, j, l))
		}
		all = append(all, v)
	}
	return all
}

func (b *builder) layer(img Image, i int, l Layer) layerView {
	v := layerView{Number: i + 1, Size: timeline.Bytes(l.Size), Digest: l.Digest, Short: strings.TrimPrefix(short(l.Digest), "sha256:"), Class: "k-layer"}
	if img.Size > 0 {
		v.Share = round(100 * float64(l.Size) / float64(img.Size))
		v.Percent = fmt.Sprintf("%.0f%%", v.Share)
	}
	if i < img.Below {
		v.From, v.Class = "base image "+img.Base, "k-base"
		return v
	}
	v.From = "all steps of the stage as one"
	for j := range b.t.Stages {
		st := &b.t.Stages[j]
		for k := range st.Steps {
			s := &st.Steps[k]
			if s.Digest == l.Digest {
				v.Step, v.Cached = b.ref(timeline.Ranked{Stage: st, Step: s}), s.State == timeline.Cached
				if v.Cached {
					v.Class = "k-cached"
				}
				return v
			}
		}
	}
	return v
}
