package lock_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fifolock/fifolock/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite ends the redis-server that the tests may have started.
type suite struct{ m *testing.M }

func (s suite) Run() int { return redistest.Main(s.m) }
