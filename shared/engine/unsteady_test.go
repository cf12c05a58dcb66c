package engine_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// unsteady is a build context in which a file has another length by the time that it
// is read.
type unsteady struct {
	*tree.Tree
	file tree.Path
	text string
}

func (u *unsteady) Open(p tree.Path) (io.ReadCloser, error) {
	if p == u.file {
		return io.NopCloser(strings.NewReader(u.text)), nil
	}
	return u.Tree.Open(p)
}

// A file that grows or shrinks while it is copied ends the build: half of one state
// and half of another is nobody's file. Neither image nor cache get anything of it.
func TestBuild_fileChangesWhileItIsRead(t *testing.T) {
	const was = "application"
	for name, c := range map[string]struct{ text, want string }{
		"grew":            {was + "!", "/app grew while it was read (11 bytes expected)"},
		"grew by much":    {strings.Repeat(was, 100_000), "/app grew while it was read (11 bytes expected)"},
		"shrank":          {was[1:], "/app shrank while it was read (11 bytes expected)"},
		"became empty":    {"", "/app shrank while it was read (11 bytes expected)"},
		"changed in time": {strings.ToUpper(was), ""},
	} {
		for where, then := range map[string][]*plan.Step{"without a sandbox": nil, "in a sandbox": {run("write", "b", "B")}} {
			t.Run(name+" "+where, func(t *testing.T) {
				steps := append([]*plan.Step{copyStep(nil, "/", "etc/passwd"), copyStep(nil, "/", "app")}, then...)
				b := newBench(t, 0, stages(stage(0, plan.Base{}, steps...)))
				b.Context = &unsteady{b.Context.(*tree.Tree), "app", c.text}
				img, err := engine.Build(t.Context(), b.Config)
				if c.want == "" {
					if err != nil || !strings.Contains(files(t, img), "app="+c.text) {
						t.Errorf("a file that is whole: %v", err)
					}
					return
				}
				var step *engine.StepError
				if !errors.As(err, &step) || step.Step != steps[1] || !strings.HasSuffix(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if b.taker.image != nil || b.driver.open != 0 {
					t.Errorf("the image %v was exported, %d sandboxes are open", b.taker.image, b.driver.open)
				}
			})
		}
	}
}

func TestCache_fileChangesWhileItIsRead(t *testing.T) {
	for _, text := range []string{"application and more", "app"} {
		b := newBench(t, 0, stages(stage(0, plan.Base{}, copyStep(nil, "/", "app"))))
		b.Context = &unsteady{b.Context.(*tree.Tree), "app", text}
		kept := newCupboard()
		b.Cache = &engine.Caching{Store: kept, Copies: true}
		if _, err := engine.Build(t.Context(), b.Config); err == nil || !strings.Contains(err.Error(), "while it was read") {
			t.Errorf("got %v", err)
		}
		if len(kept.entries) > 0 {
			t.Errorf("kept %v", kept.names)
		}
	}
}
