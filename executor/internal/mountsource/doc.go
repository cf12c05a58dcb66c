// Package mountsource makes what a [sandbox.Mount] shows: a copy of files, a
// secret's file, a socket that somebody answers. It owns what all drivers do alike
// with these; where they come to lie in a root is the business of the drivers.
package mountsource
