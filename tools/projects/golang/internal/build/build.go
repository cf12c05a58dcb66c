// Package build knows what this binary is.
package build

// Version is set by the linker.
var Version = "unknown"
