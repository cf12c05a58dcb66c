//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// systemCommands are none where there is no building in place.
func systemCommands() map[string]func(*testscript.TestScript, bool, []string) { return nil }
