package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/cachegc/internal/place/placetest"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func TestMain(m *testing.M) { commandtest.Main(m, "cachegc", main) }

// Scripts share $REGISTRY, a real one, and have repositories of their own in it. They
// have some commands more:
//
//	fill CACHE WORD AGE [SIZE [PARENT [LINEAGE]]]
//	build CACHE AGE LINEAGE WORD...
//	holds CACHE WORD...
//
// fill makes an entry of a number of bytes that is made on that of another word, - for
// none; an age is such as 36h. build leaves the journal of a build that used entries. holds
// checks that a cache has just the entries of these words. $KEY_WORD, for words that were
// filled, is not set; scripts find entries by what is printed.
func TestScripts(t *testing.T) {
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	keeps := registrytest.RealV3(t, registrytest.RealConfig{KeepsAll: true})
	var words sync.Map // of caches, every word that was ever filled
	commandtest.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("REGISTRY", host)
			e.Setenv("KEEPS", keeps)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fill":  func(ts *testscript.TestScript, neg bool, args []string) { fill(t, ts, &words, neg, args) },
			"build": func(ts *testscript.TestScript, neg bool, args []string) { build(t, ts, neg, args) },
			"holds": func(ts *testscript.TestScript, neg bool, args []string) { holds(t, ts, &words, neg, args) },
		},
	})
}

// at is a cache by its name in a script.
func at(t *testing.T, ts *testscript.TestScript, spec string) *cache.Place {
	if dir, ok := strings.CutPrefix(spec, "oci:"); ok {
		spec = "oci:" + ts.MkAbs(dir)
	}
	return placetest.Cache(t, spec)
}

// before is the time that was an age ago.
func before(ts *testscript.TestScript, age string) time.Time {
	d, err := time.ParseDuration(age)
	ts.Check(err)
	return time.Now().Add(-d)
}

func fill(t *testing.T, ts *testscript.TestScript, words *sync.Map, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fill CACHE WORD AGE [SIZE [PARENT [LINEAGE]]]")
	}
	e := placetest.Entry{Word: args[1], Created: before(ts, args[2]), Lineage: "app"}
	if len(args) > 3 {
		size, err := strconv.Atoi(args[3])
		ts.Check(err)
		e.Size = size
	}
	if len(args) > 4 && args[4] != "-" {
		e.Parent = args[4]
	}
	if len(args) > 5 {
		e.Lineage = args[5]
	}
	placetest.Put(t, at(t, ts, args[0]), e)
	words.Store(ts.Name()+" "+args[0]+" "+e.Word, true)
}

func build(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: build CACHE AGE LINEAGE WORD...")
	}
	placetest.Record(t, at(t, ts, args[0]), placetest.Journal{Lineage: args[2], Ended: before(ts, args[1]), Hits: args[3:]})
}

func holds(t *testing.T, ts *testscript.TestScript, words *sync.Map, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: holds CACHE WORD...")
	}
	c := at(t, ts, args[0])
	want := map[string]bool{}
	for _, w := range args[1:] {
		want[w] = true
	}
	var wrong []string
	words.Range(func(k, _ any) bool {
		word, ok := strings.CutPrefix(k.(string), ts.Name()+" "+args[0]+" ")
		if !ok {
			return true
		}
		_, err := c.Get(t.Context(), placetest.Definition(word).Key())
		if there := err == nil; there != want[word] {
			wrong = append(wrong, fmt.Sprintf("%s is there: %t", word, there))
		}
		return true
	})
	if len(wrong) > 0 {
		ts.Fatalf("%s: %s", args[0], strings.Join(wrong, ", "))
	}
}
