package cli

import (
	"encoding/json"
	"fmt"

	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// carried is what the process that entered namespaces hands to the one inside.
type carried struct {
	// Dir holds what was fetched; empty if the one inside can find all by itself. It is
	// a path, which need not be UTF-8.
	Dir  []byte
	Past trace.Past
}

// carriedBy is what a process has been handed; nothing without a grant.
func carriedBy(g *isolated.Grant) (c carried, err error) {
	if g == nil || len(g.Carry) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(g.Carry, &c); err != nil {
		return c, fmt.Errorf("read what was found before namespaces were entered: %w", err)
	}
	return c, nil
}

func (c carried) marshal() ([]byte, error) { return json.Marshal(c) }
