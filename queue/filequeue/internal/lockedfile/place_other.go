//go:build !linux

package lockedfile

// There are no places here.

func (d *Dir) TakePlace(int64) {}

func (d *Dir) LeavePlace(int64) {}

func (d *Dir) FirstPlace(_, _ int64) (at int64, ok bool) { return 0, false }
