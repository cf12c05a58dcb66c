//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
)

// update writes what BuildKit made into the case.
func (j *judge) update(c *conformance.Built, r result) error {
	made, err := c.Describe(r.img, j.start)
	if err != nil {
		return err
	}
	return c.Update(made, conformance.BuildKit, j.general)
}

// show is what a builder made, in the form that cases want it in.
func (j *judge) show(c *conformance.Built, r result) (string, error) {
	if r.img == nil {
		return fmt.Sprintf("failed with status %d:\n%s", r.exit, tail(r.said)), nil
	}
	made, err := c.Describe(r.img, j.start)
	if err != nil {
		return "", err
	}
	config, err := made.ConfigText()
	return "made\n" + strings.Join(made.Tree, "\n") + "\n" + config + strings.Join(made.History, "\n"), err
}
