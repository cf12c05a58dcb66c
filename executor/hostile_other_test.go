//go:build !linux

package main

// limitKernel does nothing: there is nothing to take away.
func limitKernel() error { return nil }

// hostileRun does nothing: commands that mean harm are run on Linux.
func hostileRun() {}
