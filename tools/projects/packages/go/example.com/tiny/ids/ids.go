// Package ids counts.
package ids

import "sync/atomic"

// A Counter hands out numbers, from 1 on.
type Counter struct{ n atomic.Int64 }

// Next is the next number.
func (c *Counter) Next() int64 { return c.n.Add(1) }
