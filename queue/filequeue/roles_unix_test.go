//go:build unix

package filequeue_test

import "github.com/fifolock/fifolock/queue/filequeue"

// fileRoles are the parts that another process can play.
var fileRoles = map[string]func(*filequeue.Queue) error{
	"file-hold":      holdWorker,
	"file-count":     countWorker,
	"file-churn":     churnWorker,
	"file-crowd":     crowdWorker,
	"file-woken":     wokenWorker,
	"file-starving":  starvingWorker,
	"file-beset":     besetWorker,
	"file-deaf":      deafWorker,
	"file-destitute": destituteWorker,
	"file-nobody":    nobodyWorker,
}
