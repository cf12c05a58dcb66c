// Package disk is a directory of this machine: read as a [tree.FS] ([Dir]),
// written from a stream of changes ([Writer]) and removed ([Remove]).
//
// It owns the system calls that files need. Whatever the directory holds, no
// path leads out of it: components are opened one below the other and a symbolic
// link is never followed.
package disk
