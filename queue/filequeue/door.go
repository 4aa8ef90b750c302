package filequeue

import "context"

// lockToJoin takes the seq lock for a call that joins.
func (d *directory) lockToJoin(ctx context.Context, s *settings) (*seqLock, error) {
	return d.lockSeq(ctx, s, noLimit)
}
