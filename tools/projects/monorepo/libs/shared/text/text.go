// Package text is what services say.
package text

// Greeting is for a service of the name.
func Greeting(name string) string { return "this is " + name }
