package engine

import (
	"crypto/sha256"
	"encoding/hex"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// A past names what the commands of a stage made, one after the other, and those of
// the stages that it starts from; empty before the first. A command's definition does
// not say what it makes: run again, it may make something else, and then what was
// made on top of it does not fit any more.
type past string

// and is the past when a command has left a layer, or none.
func (p past) and(l v1.Layer) (past, error) {
	text := string(p) + "\nnothing"
	if l != nil {
		id, err := l.DiffID()
		if err != nil {
			return "", err
		}
		text = string(p) + "\n" + id.String()
	}
	sum := sha256.Sum256([]byte(text))
	return past(hex.EncodeToString(sum[:])), nil
}

// fits reports whether an entry was made with this past.
func (p past) fits(e *cache.Entry) bool { return e.After == "" || e.After == string(p) }

// unfit is why an entry is not taken that is not of this history.
const unfit = "what the cache has was made on top of something else"

// discardUnfit gives up entries that were made after other commands' results than those
// that the cache has. Those of the stages below come first.
func (s *stage) discardUnfit() {
	b := s.build
	at, known := past(""), true
	if up := s.plan.Base.Stage; up != nil {
		at, known = b.stages[up].cachedPast, b.stages[up].pastCached
	}
	for _, w := range s.works {
		if !touches(w.Op) {
			continue
		}
		if known && w.entry != nil && !linked(w.Op) && !at.fits(w.entry) {
			s.giveUp(w, unfit)
		}
		if !s.extends(w) {
			continue
		}
		if known = known && w.entry != nil; !known {
			continue
		}
		var err error
		if at, err = at.and(w.entry.Layer); err != nil {
			known = false
		}
	}
	s.cachedPast, s.pastCached = at, known
}

// giveUp does without a step's entry. One that is of all steps of a stage is given up
// for all of them.
func (s *stage) giveUp(w *work, why string) {
	w.entry, w.missed, w.cause = nil, []string{why}, cachekey.OtherHistory
	if !s.build.Squash {
		return
	}
	for _, other := range s.works {
		other.entry = nil
	}
}

// extends reports whether what a step leaves is one more of what commands made.
func (s *stage) extends(w *work) bool {
	if s.build.Squash {
		return w != nil && w == s.lastOfFiles()
	}
	_, run := w.Op.(plan.Run)
	return run
}

// remember notes what a step has left.
func (s *stage) remember(w *work, l v1.Layer) error {
	if s.build.Cache == nil || !s.extends(w) {
		return nil
	}
	var err error
	s.ran, err = s.ran.and(l)
	return err
}
