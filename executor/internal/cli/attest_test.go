package cli

import (
	"context"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/attest"
	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
)

type attacher struct{}

func (attacher) Attach(context.Context, exporter.Subject) error { return nil }

type signing struct{ attacher }

func (signing) AttestStatement(context.Context, exporter.Subject, string, []byte) error { return nil }

// TestTestimony_signer: what signs images signs what is said of them.
func TestTestimony_signer(t *testing.T) {
	if s := signerOf([]exporter.Attacher{attacher{}}); s != nil {
		t.Errorf("%T is taken for one that signs", s)
	}
	if s := signerOf([]exporter.Attacher{attacher{}, signing{}}); s != attest.Signer(signing{}) {
		t.Errorf("%T signs", s)
	}
}
