//go:build linux

package main

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
)

// update writes what BuildKit made into the case.
func update(c *conformance.Built, img v1.Image, start time.Time) error {
	made, err := c.Describe(img, start)
	if err != nil {
		return err
	}
	return c.Update(made, conformance.BuildKit)
}
