package exporter

import (
	"io"

	"github.com/kaniko-suite/kaniko/shared/disk"
)

// WriteFile makes a file of another kind than an image's appear with what write writes,
// as the notes do. Errors are an [OutputError] of what.
func WriteFile(what, path string, write func(io.Writer) error) error {
	if err := writeFile(path, write); err != nil {
		return &OutputError{what, path, err}
	}
	return nil
}

// writeFile is [disk.Replace].
func writeFile(path string, write func(io.Writer) error) error { return disk.Replace(path, write) }
