package lock_test

import (
	"testing"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

func TestMain(m *testing.M) {
	testenv.Together(8)
	testenv.Main(func() int { return redistest.Main(m) })
}
