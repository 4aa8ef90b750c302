package filequeue

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// modeGrace is how long a file that others may use is waited for to get its
// mode: it is created with what the umask leaves of it.
const modeGrace = 100 * time.Millisecond

// within calls f with the directory of the queue, and again with a fresh one
// as long as somebody removes or replaces it meanwhile.
func (q *Queue) within(ctx context.Context, create bool, f func(*directory) error) error {
	if q.err != nil {
		return q.err
	}
	var p poll
	var refused time.Time // since when; zero if not
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := q.once(create, f)
		switch {
		case errors.Is(err, errDirectoryGone):
		case create && q.settings.mode != 0 && errors.Is(err, fs.ErrPermission):
			// Another user has just created the directory or seq, perhaps, and
			// has not given it the mode yet.
			if refused.IsZero() {
				refused = time.Now()
			}
			if time.Since(refused) > modeGrace {
				return err
			}
		default:
			return err
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

func (q *Queue) once(create bool, f func(*directory) error) error {
	d := useDirectory(q.settings.path)
	defer d.done()
	err := d.open(&q.settings, create)
	if err == nil {
		err = f(d)
	}
	if errors.Is(err, errDirectoryGone) {
		d.retire()
	}
	return err
}
