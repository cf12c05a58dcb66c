package exporter

import (
	"io"

	"github.com/kaniko-suite/kaniko/shared/disk"
)

// writeFile is [disk.Replace].
func writeFile(path string, write func(io.Writer) error) error { return disk.Replace(path, write) }
