package notifier

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fifolock/fifolock/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite ends the redis-server that the tests may have started, and waits for
// subscriptions that notice only now and then that their client was closed.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	const patience = 10 * time.Second
	code := redistest.Main(s.m)
	for began := time.Now(); goleak.Find() != nil && time.Since(began) < patience; {
	}
	return code
}
