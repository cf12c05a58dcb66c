package layer

import v1 "github.com/google/go-containerregistry/pkg/v1"

// As finds what a layer is beside a [v1.Layer]: a T that it is itself, or that
// what it is wrapped around is. A wrapper tells of that by a method
// Unwrap() v1.Layer.
func As[T any](l v1.Layer) (T, bool) {
	for {
		if t, ok := l.(T); ok {
			return t, true
		}
		inner, ok := unwrap(l)
		if !ok {
			var none T
			return none, false
		}
		l = inner
	}
}

// innermost is what is in all wrappers.
func innermost(l v1.Layer) v1.Layer {
	for {
		inner, ok := unwrap(l)
		if !ok {
			return l
		}
		l = inner
	}
}

func unwrap(l v1.Layer) (v1.Layer, bool) {
	w, ok := l.(interface{ Unwrap() v1.Layer })
	if !ok {
		return nil, false
	}
	return w.Unwrap(), true
}
