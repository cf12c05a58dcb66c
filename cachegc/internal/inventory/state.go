package inventory

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

const (
	// StateTag is the tag that the state of a cache is kept under, in the cache itself.
	StateTag = "gc-state"
	// stateForm is the first thing that a state says.
	stateForm = "kaniko.cachegc.state.v1"
	// maxState bounds a state, unpacked, in bytes: some million entries.
	maxState = 1 << 30
	// maxPacked bounds a state as it is kept, in bytes.
	maxPacked = 256 << 20
)

// State is what was learned of a cache in earlier runs. It can be lost: then it is
// learned again. It is safe for use by several goroutines at once.
type State struct {
	// Journals is how many journals there were the last time.
	Journals int

	mu      sync.Mutex
	records map[string]*Record // by digest
	tags    map[string]string  // digests by tags, of those that do not move
	changed bool
}

// NewState is one of nothing.
func NewState() *State { return &State{records: map[string]*Record{}, tags: map[string]string{}} }

func (s *State) record(digest string) *Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[digest]
}

func (s *State) tag(tag string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.tags[tag]
	return d, ok
}

func (s *State) learn(digest, tag string, r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[digest], s.changed = r, true
	if !moving(tag) {
		s.tags[tag] = digest
	}
}

// keep forgets all but what there is.
func (s *State) keep(items []*Item, tags map[string][]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.records)
	maps.DeleteFunc(s.records, func(digest string, _ *Record) bool { return tags[digest] == nil })
	s.changed = s.changed || len(s.records) != before
	s.tags = map[string]string{}
	for digest, names := range tags {
		for _, tag := range names {
			if !moving(tag) {
				s.tags[tag] = digest
			}
		}
	}
	s.Journals = 0
	for _, i := range items {
		if i.Kind == Journal {
			s.Journals++
		}
	}
}

// Changed tells whether there is more to keep than was read.
func (s *State) Changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// stateHead is the first line of a state, and stateLine each of the others.
type (
	stateHead struct {
		Form     string `json:"form"`
		Place    string `json:"place"`
		Journals int    `json:"journals"`
	}
	stateLine struct {
		Digest string   `json:"digest"`
		Tags   []string `json:"tags,omitempty"`
		*Record
	}
)

// Encode is the state of a place, packed: lines of JSON in gzip, in the order of the
// digests.
func (s *State) Encode(at string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags := map[string][]string{}
	for tag, digest := range s.tags {
		tags[digest] = append(tags[digest], tag)
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	e := json.NewEncoder(z)
	if err := e.Encode(stateHead{stateForm, at, s.Journals}); err != nil {
		return nil, err
	}
	for _, digest := range slices.Sorted(maps.Keys(s.records)) {
		if err := e.Encode(stateLine{digest, slices.Sorted(slices.Values(tags[digest])), s.records[digest]}); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// errState is a state that is not one, or not one of this place.
var errState = errors.New("it is not the state of this cache")

// ReadState reads what [State.Encode] wrote of the same place.
func ReadState(packed []byte, at string) (*State, error) {
	if len(packed) > maxPacked {
		return nil, fmt.Errorf("it has more than %d bytes", maxPacked)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: z, N: maxState}
	d := json.NewDecoder(bufio.NewReader(bounded))
	var head stateHead
	if err := d.Decode(&head); err != nil {
		return nil, err
	}
	if head.Form != stateForm || head.Place != at {
		return nil, errState
	}
	s := NewState()
	s.Journals = head.Journals
	lineages := map[string]string{} // one string for all that have it
	for {
		line := stateLine{Record: &Record{}}
		err := d.Decode(&line)
		if err == io.EOF && bounded.N > 0 {
			return s, nil
		}
		if err != nil {
			return nil, cmp.Or(err, io.ErrUnexpectedEOF)
		}
		if l, ok := lineages[line.Lineage]; ok {
			line.Lineage = l
		} else {
			lineages[line.Lineage] = line.Lineage
		}
		s.records[line.Digest] = line.Record
		for _, tag := range line.Tags {
			s.tags[tag] = line.Digest
		}
	}
}
