//go:build !unix

package filequeue_test

import "github.com/fifolock/fifolock/queue/filequeue"

// fileRoles are the parts that another process can play.
var fileRoles = map[string]func(*filequeue.Queue) error{
	"file-hold": holdWorker,
}
