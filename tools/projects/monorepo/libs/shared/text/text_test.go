package text

import "testing"

func TestGreeting(t *testing.T) {
	if got := Greeting("x"); got != "this is x" {
		t.Error(got)
	}
}
