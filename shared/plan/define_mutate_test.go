package plan_test

import (
	"reflect"
	"unicode/utf8"
)

// places are what of a step can be changed by itself.
type places struct {
	texts  []reflect.Value // in order
	values []reflect.Value // all that dice can make anew, texts among them
	lists  []reflect.Value
}

func (d dice) places(i *input) *places {
	p := d.found
	p.texts, p.values, p.lists = p.texts[:0], p.values[:0], p.lists[:0]
	for _, part := range i.parts() {
		p.collect(d, part)
	}
	return p
}

func (p *places) collect(d dice, v reflect.Value) {
	if d.isWhole(v.Type()) {
		p.values = append(p.values, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			p.collect(d, v.Field(i))
		}
	case reflect.Slice:
		p.lists = append(p.lists, v)
		for i := range v.Len() {
			p.collect(d, v.Index(i))
		}
	case reflect.String:
		p.texts = append(p.texts, v)
		p.values = append(p.values, v)
	default:
		p.values = append(p.values, v)
	}
}

// mutate changes one thing, possibly to what it was.
func (d dice) mutate(i *input) {
	p := d.places(i)
	switch d.IntN(8) {
	case 0:
		d.fill(pick(d, p.values...))
	case 1:
		d.edit(pick(d, p.texts...))
	case 2:
		d.shift(p.texts)
	case 3:
		d.swap(p.values)
	case 4, 5:
		d.rearrange(pick(d, p.lists...))
	case 6:
		d.move(p.lists)
	case 7: // only a copy
	}
	i.mend()
}

func (d dice) edit(v reflect.Value) {
	s := v.String()
	switch d.IntN(3) {
	case 0:
		s += pick(d, "a", " ", "/", "\n")
	case 1:
		s = pick(d, "a", " ", "/", "\n") + s
	case 2:
		s = s[:d.IntN(len(s)+1)]
	}
	v.SetString(s)
}

// shift moves a character over the boundary between two texts.
func (d dice) shift(texts []reflect.Value) {
	at := d.IntN(len(texts))
	for n := range texts { // the next that is not empty
		one, next := texts[(at+n)%len(texts)], texts[(at+n+1)%len(texts)]
		s := one.String()
		if s == "" || len(texts) == 1 {
			continue
		}
		_, size := utf8.DecodeLastRuneInString(s)
		next.SetString(s[len(s)-size:] + next.String())
		one.SetString(s[:len(s)-size])
		return
	}
}

// swap exchanges two values of a type, possibly the same: two files' contents, a mode and another.
func (d dice) swap(values []reflect.Value) {
	one := pick(d, values...)
	for range 10 {
		other := pick(d, values...)
		if other.Type() == one.Type() {
			swapValues(one, other)
			return
		}
	}
}

func swapValues(a, b reflect.Value) {
	was := reflect.New(a.Type()).Elem()
	was.Set(a)
	a.Set(b)
	b.Set(was)
}

// rearrange drops, doubles, makes or exchanges elements of a list.
func (d dice) rearrange(list reflect.Value) {
	n := list.Len()
	if n == 0 || d.IntN(4) == 0 {
		one := reflect.New(list.Type().Elem()).Elem()
		d.fill(one)
		list.Set(reflect.Append(list, one))
		return
	}
	at := d.IntN(n)
	switch d.IntN(3) {
	case 0:
		list.Set(reflect.AppendSlice(list.Slice(0, at), list.Slice(at+1, n)))
	case 1:
		list.Set(reflect.Append(list, list.Index(at)))
		d.unshare(list)
	case 2:
		swapValues(list.Index(at), list.Index(d.IntN(n)))
	}
}

// move takes the last element of a list to the beginning of another of its type.
func (d dice) move(lists []reflect.Value) {
	at := d.IntN(len(lists))
	for n := range lists {
		from := lists[(at+n)%len(lists)]
		if from.Len() == 0 {
			continue
		}
		for m := 1; m < len(lists); m++ {
			to := lists[(at+n+m)%len(lists)]
			if to.Type() != from.Type() {
				continue
			}
			one := reflect.MakeSlice(from.Type(), 1, 1)
			one.Index(0).Set(from.Index(from.Len() - 1))
			from.Set(from.Slice(0, from.Len()-1))
			to.Set(reflect.AppendSlice(one, to))
			return
		}
	}
}
