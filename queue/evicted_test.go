package queue_test

import (
	"slices"
	"testing"

	"github.com/fifolock/fifolock/queue"
)

// A ctx may have several functions that are told; a ctx with none costs nothing.
func TestOnEvictedTwice(t *testing.T) {
	var told []string
	ctx := queue.OnEvicted(t.Context(), func([]queue.Ticket) { told = append(told, "first") })
	ctx = queue.OnEvicted(ctx, func([]queue.Ticket) { told = append(told, "second") })
	queue.Evicted(ctx, nil)
	queue.Evicted(t.Context(), []queue.Ticket{{Number: 1}})
	if told != nil {
		t.Errorf("told of nobody: %v", told)
	}
	queue.Evicted(ctx, []queue.Ticket{{Number: 1}})
	if !slices.Equal(told, []string{"second", "first"}) {
		t.Errorf("told in the order %v", told)
	}
}
