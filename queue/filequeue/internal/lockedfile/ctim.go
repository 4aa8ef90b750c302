//go:build dragonfly || linux || openbsd

package lockedfile

import "syscall"

func changeTime(st *syscall.Stat_t) syscall.Timespec { return st.Ctim }
