package filequeue

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is when the file was last changed. Unlike the time stamp of its
// content, nobody can set it: not cp -p either.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec))
	}
	return info.ModTime()
}
