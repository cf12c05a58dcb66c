package plan_test

import (
	"reflect"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// leftOut are the fields of what a step is and finds that are in no definition, and
// why. All others have to be.
func leftOut() map[string]string {
	return map[string]string{
		"Run.Unkeyed":         "names variables that are left out",
		"Mount.Required":      "says whether the step fails without the secret; a step that fails has no result",
		"Copy.From":           "where files are does not matter; what they are is in the reading",
		"Node.Size":           "the digest of the content implies it",
		"Node.MTime":          "a file that was only touched, or checked out again, is the same",
		"Node.Fingerprint":    "means nothing beyond the process; the digest says more",
		"Platform.OSVersion":  "images and commands are chosen by system, architecture and variant",
		"Platform.OSFeatures": "as OSVersion",
		"Platform.Features":   "as OSVersion",
	}
}

// keyedTypes are the types of which each field has to be in definitions or in leftOut.
func keyedTypes() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[plan.Run](), reflect.TypeFor[plan.Copy](), reflect.TypeFor[plan.Dir](), reflect.TypeFor[plan.Mount](),
		reflect.TypeFor[plan.Remote](), reflect.TypeFor[plan.Inline](), reflect.TypeFor[sandbox.File](),
		reflect.TypeFor[plan.Inputs](), reflect.TypeFor[plan.Identity](), reflect.TypeFor[plan.Reading](), reflect.TypeFor[plan.File](),
		reflect.TypeFor[tree.Entry](), reflect.TypeFor[tree.Node](), reflect.TypeFor[tree.Dev](), reflect.TypeFor[v1.Platform](), reflect.TypeFor[v1.Hash](),
	}
}

// everything are steps in which each field matters in one at least, if in any.
func everything(t *testing.T) []*input {
	var run, stages, copied1 input
	run.Run, run.In = ran()
	run.Run.Unkeyed = []string{"http_proxy"}
	stages.Run = plan.Run{Mounts: []plan.Mount{{Type: dockerfile.MountBind, From: &plan.Source{Context: "a"}}, {Type: dockerfile.MountCache}}}
	stages.In.Readings = []plan.Reading{{From: plan.Identity{Image: hash("1")}}, {From: plan.Identity{Step: key("1")}}}
	copied1.Kind = 1
	copied1.Copy, copied1.In = copied(t)
	dir := &input{Kind: 2, Dir: plan.Dir{Path: "/a", User: "b"}}
	all := []*input{&run, &stages, &copied1, dir}
	for _, i := range all { // a field that has to do with what is read may ask for more
		i.In.Readings = append(i.In.Readings, plan.Reading{From: plan.Identity{Image: hash("7")}})
	}
	return all
}

// A field that is neither in definitions nor excused would be a false hit waiting to
// happen: each is changed, everywhere, to see.
func TestDefinition_fields(t *testing.T) {
	excused := leftOut()
	for _, typ := range keyedTypes() {
		for n := range typ.NumField() {
			name := typ.Name() + "." + typ.Field(n).Name
			reason, out := excused[name]
			delete(excused, name)
			if reason == "" && out {
				t.Errorf("%s: no reason to leave it out", name)
			}
			switch in := matters(t, typ, n); {
			case in && out:
				t.Errorf("%s is in the definition, and said to be left out: %s", name, reason)
			case !in && !out:
				t.Errorf("%s is not in the definition: a step could be taken for another that differs in it", name)
			}
		}
	}
	for name := range excused {
		t.Errorf("%s is no field", name)
	}
}

// matters reports whether a change of the nth field of a type changes a definition.
func matters(t *testing.T, typ reflect.Type, n int) bool {
	changed := false
	for _, i := range everything(t) {
		before := i.definition()
		for _, part := range i.parts() {
			each(part, typ, func(v reflect.Value) {
				field := v.Field(n)
				for _, other := range others(field) {
					was := reflect.New(field.Type()).Elem()
					was.Set(field)
					field.Set(other)
					changed = changed || i.definition() != before
					field.Set(was)
				}
			})
		}
	}
	return changed
}

// each finds the values of a type within v.
func each(v reflect.Value, typ reflect.Type, found func(reflect.Value)) {
	if v.Type() == typ {
		found(v)
	}
	switch v.Kind() {
	case reflect.Struct:
		for n := range v.NumField() {
			if v.Type().Field(n).IsExported() {
				each(v.Field(n), typ, found)
			}
		}
	case reflect.Slice:
		for n := range v.Len() {
			each(v.Index(n), typ, found)
		}
	}
}

// others are values unlike v.
func others(v reflect.Value) []reflect.Value {
	switch was := v.Interface().(type) {
	case time.Time:
		return []reflect.Value{reflect.ValueOf(was.Add(time.Hour))}
	case *dockerfile.ModeChange:
		other, _ := dockerfile.ParseMode("0100")
		return []reflect.Value{reflect.ValueOf(&other)}
	case v1.Hash:
		return []reflect.Value{reflect.ValueOf(hash("8"))}
	case tree.Path:
		// A hard link is one to a file that is listed before.
		return []reflect.Value{reflect.ValueOf(was + "x"), reflect.ValueOf(tree.Path("src")), reflect.Zero(v.Type())}
	}
	other := reflect.New(v.Type()).Elem()
	other.Set(v)
	switch v.Kind() {
	case reflect.String:
		other.SetString(v.String() + "0")
	case reflect.Bool:
		other.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		other.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		other.SetUint(v.Uint() + 1)
	case reflect.Pointer:
		if other.SetZero(); v.IsNil() {
			other.Set(reflect.New(v.Type().Elem()))
		}
	case reflect.Map:
		other.Set(reflect.MakeMap(v.Type()))
		other.SetMapIndex(reflect.ValueOf("user.other"), reflect.ValueOf(""))
	case reflect.Struct:
		var all []reflect.Value
		for n := range v.NumField() {
			for _, field := range others(v.Field(n)) {
				one := reflect.New(v.Type()).Elem()
				one.Set(v)
				one.Field(n).Set(field)
				all = append(all, one)
			}
		}
		return all
	case reflect.Slice:
		return otherLists(v)
	default:
		panic("nothing unlike " + v.Type().String())
	}
	return []reflect.Value{other}
}

// otherLists are the list with something more, and with something else for an element.
func otherLists(v reflect.Value) []reflect.Value {
	all := []reflect.Value{reflect.Append(v.Slice3(0, v.Len(), v.Len()), reflect.Zero(v.Type().Elem()))}
	for n := range v.Len() {
		for _, element := range others(v.Index(n)) {
			one := reflect.AppendSlice(reflect.Zero(v.Type()), v)
			one.Index(n).Set(element)
			all = append(all, one)
		}
	}
	return all
}
