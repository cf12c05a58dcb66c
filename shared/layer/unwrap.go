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
		w, ok := l.(interface{ Unwrap() v1.Layer })
		if !ok {
			var none T
			return none, false
		}
		l = w.Unwrap()
	}
}
