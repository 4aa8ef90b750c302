package queue_test

import (
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

// neverDown is longer than any test: no node is held to be down.
const neverDown = time.Minute

func TestRedisConformanceCluster(t *testing.T) {
	client := redistest.StartCluster(t, false, neverDown).Client()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return queue.NewRedis(client, redistest.Name(t))
	})
}

// A waiter is told although it listens at another node than the one that has the
// queue.
func TestRedisGrantAcrossNodes(t *testing.T) {
	cluster := redistest.StartCluster(t, false, neverDown)
	name := redistest.Name(t)
	home := cluster.Place(cluster.Slot("{" + name + "}:queue"))
	near := queue.NewRedis(cluster.Client(), name)
	far := near
	for cluster.Place(cluster.Slot("fifolock:"+queue.Hub(far))) == home {
		far = queue.NewRedis(cluster.Client(), name)
	}
	for range 10 {
		holder := mustRegister(t, near)
		listening(t, far)
		next := mustRegister(t, far)
		wake, stop := watch(t, far, next)
		mustSleep(t, wake)
		mustRelease(t, near, holder)
		mustWake(t, wake, queue.Granted)
		stop()
		mustRelease(t, far, next)
	}
}
