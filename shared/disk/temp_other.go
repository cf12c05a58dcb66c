//go:build !linux

package disk

import "os"

// Temp is a directory of one process.
type Temp struct{ Path string }

// MakeTemp makes a directory in parent, whose name begins with prefix. Here,
// those that a killed process left stay.
func MakeTemp(parent, prefix string) (*Temp, error) {
	path, err := os.MkdirTemp(parent, prefix)
	return &Temp{Path: path}, err
}

// Close removes the directory.
func (t *Temp) Close() error { return os.RemoveAll(t.Path) }
