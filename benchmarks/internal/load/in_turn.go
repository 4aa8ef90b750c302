package load

import (
	"context"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// InTurn lets one goroutine lock and unlock each of some locks, one after the
// other, again and again for so long, and returns the samples of each. The
// first tenth of the time is the warm-up.
//
// A loop over one lock measures the machine too: whether its processors have
// gone to sleep between a request and its answer makes a round trip two or
// three times as long, and a little more or less work decides it. Locks that
// take turns all meet the same.
func InTurn(ctx context.Context, locks []*peer.Lock, measure time.Duration) ([][]figures.Sample, error) {
	var lockers []peer.Locker
	for _, l := range locks {
		locker, err := l.Waiter(ctx)
		if err != nil {
			return nil, err
		}
		lockers = append(lockers, locker)
	}
	ctx, cancel := context.WithTimeout(ctx, measure+contendDrain)
	defer cancel()
	samples := make([][]figures.Sample, len(lockers))
	began := time.Now()
	for time.Since(began) < measure {
		warm := time.Since(began) > measure/10
		for i, locker := range lockers {
			s, err := cycle(ctx, locker, 0)
			if err != nil {
				return nil, fmt.Errorf("lock %d: %w", i, err)
			}
			if warm {
				samples[i] = append(samples[i], s)
			}
		}
	}
	return samples, nil
}
