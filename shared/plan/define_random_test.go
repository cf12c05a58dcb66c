package plan_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// input is a step and what it finds.
type input struct {
	Kind int // which of the ops it is
	Run  plan.Run
	Copy plan.Copy
	Dir  plan.Dir
	In   plan.Inputs
}

const kinds = 3

func (i *input) op() plan.Op {
	switch i.Kind {
	case 0:
		return i.Run
	case 1:
		return i.Copy
	}
	return i.Dir
}

func (i *input) definition() cachekey.Definition { return plan.Definition(i.op(), i.In) }

// parts are what of the input the definition is made of.
func (i *input) parts() []reflect.Value {
	op := reflect.ValueOf(i).Elem().Field(1 + i.Kind)
	return []reflect.Value{op, reflect.ValueOf(&i.In).Elem()}
}

// words are few and alike, so that two steps often have the same in another place.
func words() []string {
	return []string{
		"", "a", "b", "ab", "ba", "a b", " ", "\n", `"`, `"a"`, "a\nfile 0644 x b", "/", "/a", "hidden", "env", "from", "files", "file",
		"unpack", "0:0", "0644", "mount", "step", "scratch", "é", "\xff", hash("1").String(), "sha256:", "http://a:b@c/d", "https://c/d?e", "a:b@c",
	}
}

func names() []string {
	return []string{"A", "B", "AB", "NPM_TOKEN", "TOKEN", "HTTP_PROXY", "http_proxy", ""}
}

// dice makes what is random.
type dice struct {
	*rand.Rand
	deep, whole map[reflect.Type]bool // of types that were asked for
	found       *places               // filled anew for each step
}

func newDice(seed, stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream)), map[reflect.Type]bool{}, map[reflect.Type]bool{}, &places{}}
}

// isWhole reports whether dice makes values of a type as one.
func (d dice) isWhole(t reflect.Type) bool {
	is, ok := d.whole[t]
	if !ok {
		is = newDice(0, 0).of(t) != nil
		d.whole[t] = is
	}
	return is
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// several is up to n things.
func several[T any](d dice, n int, one func() T) []T {
	all := make([]T, d.IntN(n+1))
	for i := range all {
		all[i] = one()
	}
	return all
}

func (d dice) word() string { return pick(d, words()...) }

func (d dice) variable() string { return pick(d, names()...) + "=" + d.word() }

// of makes any value of a type that is not made up of independent parts, or where a
// choice of few is better. It is nil for other types.
func (d dice) of(t reflect.Type) any {
	switch reflect.Zero(t).Interface().(type) {
	case v1.Hash:
		return pick(d, v1.Hash{}, hash("1"), hash("2"))
	case cachekey.Key:
		return pick(d, "", key("1"), key("2"))
	case v1.Platform:
		return pick(d, v1.Platform{}, v1.Platform{OS: "linux", Architecture: "arm"}, v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"},
			v1.Platform{OS: "linux", Architecture: "amd64", OSVersion: "1"}, v1.Platform{OS: "linux", Architecture: "amd64"})
	case time.Time:
		return pick(d, time.Time{}, time.Unix(0, 0), time.Unix(1, 0), time.Unix(1, 5))
	case tree.Xattrs:
		return pick(d, nil, tree.Xattrs{}, tree.Xattrs{"a": "b"}, tree.Xattrs{"ab": ""}, tree.Xattrs{"a": "", "b": ""},
			tree.Xattrs{"a": "b", "c": "d"}, tree.Xattrs{"a": "d", "c": "b"}, tree.Xattrs{"a b": "c"}, tree.Xattrs{"a": "b c"})
	case tree.Type:
		return pick(d, tree.File, tree.File, tree.Dir, tree.Symlink, tree.Fifo, tree.CharDevice, tree.BlockDevice)
	case *dockerfile.ModeChange:
		m, _ := dockerfile.ParseMode(pick(d, "0644", "644", "u+x", "a=r"))
		return pick(d, nil, &m)
	case *bool:
		is := d.IntN(2) == 0
		return pick(d, nil, &is)
	case *plan.Source:
		return pick(d, nil, &plan.Source{Context: "a"}, &plan.Source{Context: "b"})
	case dockerfile.MountType:
		return pick(d, dockerfile.MountBind, dockerfile.MountCache, dockerfile.MountTmpfs, dockerfile.MountSecret, dockerfile.MountSSH)
	case dockerfile.Sharing:
		return pick(d, "", dockerfile.SharingShared, dockerfile.SharingLocked)
	}
	return nil
}

// fill makes a value, whatever its type.
func (d dice) fill(v reflect.Value) {
	if d.isWhole(v.Type()) {
		v.Set(reflect.ValueOf(d.of(v.Type())))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(d.word())
	case reflect.Bool:
		v.SetBool(d.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(d.IntN(3)))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(d.IntN(3)))
	case reflect.Struct:
		for i := range v.NumField() {
			d.fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), d.IntN(3), 3))
		for i := range v.Len() {
			d.fill(v.Index(i))
		}
	default:
		panic("nothing random for " + v.Type().String())
	}
}

func (d dice) input() *input {
	i := &input{Kind: d.IntN(kinds)}
	for _, part := range i.parts() {
		d.fill(part)
	}
	i.Run.Env = several(d, 3, d.variable)
	i.mend()
	return i
}

// mend makes a step one that a Dockerfile can come to: a variable has a name and a
// value, and once; and there are as many readings as it reads.
func (i *input) mend() {
	named := map[string]bool{}
	i.Run.Env = slices.DeleteFunc(i.Run.Env, func(e string) bool {
		name, _, ok := strings.Cut(e, "=")
		again := named[name]
		named[name] = true
		return again || !ok
	})
	n := len(plan.Reads(i.op()))
	for len(i.In.Readings) < n {
		i.In.Readings = append(i.In.Readings, plan.Reading{})
	}
	i.In.Readings = i.In.Readings[:n]
}

// deep are the types of values that can share something with a copy.
func (d dice) isDeep(t reflect.Type) bool {
	is, ok := d.deep[t]
	if ok {
		return is
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		is = true
	case reflect.Struct:
		for i := range t.NumField() {
			is = is || t.Field(i).IsExported() && d.isDeep(t.Field(i).Type)
		}
	}
	d.deep[t] = is
	return is
}

// unshare makes lists within v its own, those behind pointers aside, which nobody
// changes. Empty lists become nil.
func (d dice) unshare(v reflect.Value) {
	if !d.isDeep(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				d.unshare(v.Field(i))
			}
		}
	case reflect.Slice:
		own := reflect.Zero(v.Type())
		if v.Len() > 0 {
			own = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(own, v)
		}
		v.Set(own)
		for i := range v.Len() {
			d.unshare(v.Index(i))
		}
	case reflect.Map:
		own := reflect.Zero(v.Type())
		if v.Len() > 0 {
			own = reflect.MakeMap(v.Type())
		}
		for it := v.MapRange(); it.Next(); {
			own.SetMapIndex(it.Key(), it.Value())
		}
		v.Set(own)
	}
}

// clone is a copy of what of the step the definition is made of.
func (d dice) clone(i *input) *input {
	c := &input{Kind: i.Kind}
	for n, part := range c.parts() {
		part.Set(i.parts()[n])
		d.unshare(part)
	}
	return c
}
