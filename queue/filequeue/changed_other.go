//go:build !linux

package filequeue

import (
	"io/fs"
	"time"
)

// changeTime is when the file's content was last changed.
func changeTime(info fs.FileInfo) time.Time { return info.ModTime() }
