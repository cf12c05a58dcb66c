// Package images has no code but tests of the images that Bazel builds here: what is in
// them, how large they are, and that they do their work in podman.
package images
