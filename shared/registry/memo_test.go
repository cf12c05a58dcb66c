package registry

import (
	"context"
	"errors"
	"testing"
)

// TestMemo: failures are not kept, and who gives up does not fail the others.
func TestMemo(t *testing.T) {
	var m memo[string, int]
	bg := context.Background()
	boom := errors.New("boom")
	if _, err := m.get(bg, "a", func(context.Context) (int, error) { return 0, boom }); err != boom {
		t.Fatalf("got %v", err)
	}
	if v, err := m.get(bg, "a", func(context.Context) (int, error) { return 1, nil }); v != 1 || err != nil {
		t.Fatalf("got %d, %v", v, err)
	}
	if v, err := m.get(bg, "a", func(context.Context) (int, error) { return 2, nil }); v != 1 || err != nil {
		t.Fatalf("got %d, %v", v, err)
	}
	if v, ok := m.peek("a"); v != 1 || !ok {
		t.Errorf("peek: %d, %v", v, ok)
	}
	m.put("a", 3)
	m.put("b", 4)
	if a, _ := m.peek("a"); a != 1 {
		t.Error("put replaced an answer")
	}
	if b, ok := m.peek("b"); b != 4 || !ok {
		t.Errorf("put: %d, %v", b, ok)
	}

	leader, giveUp := context.WithCancel(bg)
	asked := make(chan struct{})
	first := make(chan error)
	go func() {
		_, err := m.get(leader, "c", func(ctx context.Context) (int, error) {
			close(asked)
			<-ctx.Done()
			return 0, ctx.Err()
		})
		first <- err
	}()
	<-asked
	impatient, cancel := context.WithCancel(bg)
	cancel()
	if _, err := m.get(impatient, "c", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait got %v", err)
	}
	second := make(chan int)
	go func() {
		v, err := m.get(bg, "c", func(context.Context) (int, error) { return 5, nil })
		if err != nil {
			t.Error(err)
		}
		second <- v
	}()
	giveUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	if v := <-second; v != 5 {
		t.Errorf("who waited got %d", v)
	}
}
