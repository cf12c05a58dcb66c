package apply

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestOutlasting(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(context.Background())
	longer, stop := outlasting(ctx, time.Hour)
	cancel(why)
	if longer.Err() != nil {
		t.Error("it is done as soon as the other")
	}
	stop()
	if longer.Err() == nil {
		t.Error("it is not done when it is stopped")
	}
	longer, stop = outlasting(ctx, time.Nanosecond)
	defer stop()
	<-longer.Done()
	if context.Cause(longer) != why {
		t.Errorf("it is done because of %v", context.Cause(longer))
	}
}
