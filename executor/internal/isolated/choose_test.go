package isolated

import (
	"context"
	"errors"
	"testing"
)

func TestChoose(t *testing.T) {
	many, single := &Grant{IDs: 65536}, &Grant{IDs: 1}
	refused := &Refused{Attempts: []Attempt{{Method: "mount namespace", Err: errors.New("no")}}}
	broken := errors.New("out of memory")
	for _, c := range []struct {
		name  string
		mode  Mode
		root  bool
		grant *Grant
		err   error

		want    *Grant
		reason  bool
		wantErr error
	}{
		{name: "auto takes namespaces", mode: Auto, root: true, grant: many, want: many},
		{name: "auto falls back", mode: Auto, root: true, err: refused, reason: true},
		{name: "auto keeps root's ids", mode: Auto, root: true, grant: single, reason: true},
		{name: "a user has no other ids", mode: Auto, grant: single, want: single},
		{name: "auto hides no failure", mode: Auto, err: broken, wantErr: broken},
		{name: "namespaces", mode: Namespaces, root: true, grant: single, want: single},
		{name: "namespaces or nothing", mode: Namespaces, err: refused, wantErr: refused},
		{name: "in place does not ask", mode: InPlace, err: broken},
	} {
		got, err := choose(t.Context(), c.mode, c.root, func(context.Context) (*Grant, error) { return c.grant, c.err })
		if !errors.Is(err, c.wantErr) || got.Grant != c.want || (got.Reason != nil) != c.reason {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestParseMode(t *testing.T) {
	for _, s := range []string{"auto", "in-place", "namespaces"} {
		if m, err := ParseMode(s); err != nil || string(m) != s {
			t.Errorf("%s: %q, %v", s, m, err)
		}
	}
	for _, s := range []string{"", "chroot", "Auto"} {
		if _, err := ParseMode(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}
