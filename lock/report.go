package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/fifolock/fifolock/queue"
)

// report is what an attempt has seen of the line, for the error that it may end with.
type report struct {
	ctx     context.Context // the caller's, with the hooks, and no longer than WithMaxWait
	began   time.Time
	mine    func() bool // whether the lock's own value holds it; nil: it may be held by several
	stage   stage
	ahead   int            // when last told
	failure error          // of the latest look; nil if it was answered
	asked   time.Time      // since when a look is under way; zero if none is
	took    time.Duration  // how long the latest answer has taken
	ended   time.Time      // when the wait has failed; zero if there was none
	holders []queue.Member // when the wait had failed; nil if they are not known
}

// stage is how far an attempt has come.
type stage int

const (
	begun stage = iota // nothing was asked yet
	registering
	inLine
	heldBack // it owned, but a lost hold of the same Mutex was not unlocked yet
)

// maxWaitError is the cause of the end of a wait that WithMaxWait has ended.
type maxWaitError time.Duration

func (d maxWaitError) Error() string {
	return fmt.Sprintf("WithMaxWait allows %v", time.Duration(d))
}

// explain says of an attempt that ctx has ended what there was to wait for: those
// in front, or a queue that does not answer.
func (r *report) explain(err error) error {
	ended := endOf(r.ctx)
	if ended == nil {
		return ofQueue(err)
	}
	e := &waitError{ended: ended, failure: ofQueue(r.failure)}
	if cause := context.Cause(r.ctx); cause != nil && cause != ended { // nil of one whose end is late
		e.cause = ofCause(cause)
	}
	if !errors.Is(err, ended) && !errors.Is(err, queue.ErrNotQueued) { // a call failed just when ctx ended
		e.failure = ofQueue(err)
	}
	if r.ended.IsZero() {
		r.ended = time.Now()
	}
	after := fmt.Sprintf("after %v", r.ended.Sub(r.began).Round(time.Millisecond))
	switch {
	case r.stage == begun:
		e.detail = "before the call"
	case e.failure != nil || r.stage == inLine && r.silent():
		e.detail = after + " while the queue did not answer"
	case r.stage == registering:
		e.detail = after + " before the queue answered"
	case r.stage == heldBack:
		e.detail, e.busy = after+": "+errHeldBack.Error(), true
	default:
		e.detail, e.busy = after+r.inFront(), r.ahead > 0
	}
	return e
}

// silent reports whether the queue has left the latest question open, and for longer
// than an answer may take: from another region each takes 100 ms. One that took seconds
// has waited for something.
func (r *report) silent() bool {
	allowed := max(leaveGrace, min(2*r.took, time.Second))
	return r.holders == nil && !r.asked.IsZero() && r.ended.Sub(r.asked) >= allowed
}

// inFront says what was in front, as far as it is known.
func (r *report) inFront() string {
	text := fmt.Sprintf(" with %d ahead in line", r.ahead)
	if r.mine != nil && r.mine() {
		return text + "; held by this very Mutex, which is not reentrant"
	}
	names := make([]string, 0, listed)
	for _, m := range r.holders {
		if len(names) == listed {
			names = append(names, fmt.Sprintf("%d more", len(r.holders)-listed))
			break
		}
		names = append(names, describe(m))
	}
	if len(names) > 0 {
		text += "; held by " + strings.Join(names, ", ")
	}
	return text
}

// listed is how many holders an error lists.
const listed = 3

// describe names the owner of a ticket, as far as it is known.
func describe(m queue.Member) string {
	at := printable(m.Host)
	if m.PID != 0 {
		at = strings.TrimSuffix(fmt.Sprintf("pid %d on %s", m.PID, at), " on ")
	}
	switch label := printable(m.Label); {
	case label != "" && at != "":
		return label + " (" + at + ")"
	case label != "":
		return label
	case at != "":
		return at
	}
	return fmt.Sprintf("ticket %d", m.Ticket.Number)
}

// printable is a text of another process, which may not have checked it, on one line and
// without what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// reading limits how many errors of this process look for the holder at a time:
// thousands that are cancelled at once do not each list a line of thousands.
var reading = make(chan struct{}, 4)

// readHolders notes which tickets hold the lock, if the queue can say so before ctx ends.
func (r *report) readHolders(ctx context.Context, q queue.TicketQueue, leaving queue.Ticket) {
	select {
	case reading <- struct{}{}:
	default:
		return
	}
	list, err := ask(ctx, 0, func(ctx context.Context) ([]queue.Member, error) {
		defer func() { <-reading }()
		return queue.Members(ctx, q)
	}, nil)
	switch {
	case err == nil:
		r.holders = holders(list, leaving)
	case endOf(ctx) == nil && !errors.Is(err, errors.ErrUnsupported):
		r.failure = err
	}
}

// holders are those that own, without the ticket that is about to leave. It is not nil.
func holders(list []queue.Member, leaving queue.Ticket) []queue.Member {
	return slices.DeleteFunc(append([]queue.Member{}, list...), func(m queue.Member) bool {
		return !m.Owns() || m.Ticket.Number == leaving.Number
	})
}
