package filequeue

import (
	"context"
	"testing"
	"time"
)

// A release tells its caller in time that the ticket is gone.
func TestPatienceWithin(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		-time.Second:           notAtAll,
		-1:                     notAtAll,
		100 * time.Millisecond: 50 * time.Millisecond,
		time.Hour:              longestTidying,
	} {
		ctx, cancel := context.WithTimeout(context.Background(), left)
		defer cancel()
		if got := tidyingWithin(ctx); got < notAtAll || got > want {
			t.Errorf("with %v left, the patience is %v, want at most %v", left, got, want)
		}
	}
	if got := tidyingWithin(context.Background()); got != longestTidying {
		t.Errorf("without a deadline, the patience is %v, want %v", got, longestTidying)
	}
}
