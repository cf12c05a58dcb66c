//go:build scale

package main

import (
	"os"
	"strconv"
	"testing"
)

// TestScale_large takes minutes: make scale. KANIKO_SCALE is the number of entries.
func TestScale_large(t *testing.T) {
	entries := 20_000
	if text := os.Getenv("KANIKO_SCALE"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		entries = n
	}
	scale(t, entries, 150<<20)
}
