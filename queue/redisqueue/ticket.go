package redisqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// abandonTimeout is how long a registration that failed tries to make sure that
// no ticket is left.
const abandonTimeout = 5 * time.Second

// longestWatched is how long the first waiter behind those of another process waits at most
// before it looks: as long as the first in line does, see watched in presence.lua.
const longestWatched = 400 * time.Millisecond

// Register takes the next number and stands in line, in one round trip.
//
// When the server was asked and did not answer, Register makes sure, for up to
// five seconds and one ReadTimeout of the client, that no ticket is left before it
// returns the error. If it cannot, a ticket that may be there runs out with its lease.
//
// Register waits, for up to half a lease, while the slot of the queue moves to
// another node of a Cluster, while the server is busy with a script or has just
// started, and while the client has no connection to spare.
func (v *view) Register(ctx context.Context) (t queue.Ticket, err error) {
	o, err := v.begin(ctx, "register")
	if err == nil {
		// A call that only tries is told of a refusal that passes; one that stands in
		// line waits in any case. But not so long that the lease, which its owner counts
		// from the beginning of the call, would be over with the first heartbeat.
		t, _, err = o.join(ctx, retryPolicy{longest: brief.longest, passing: v.lease / 2}, registerScript, registerTogether)
	}
	return t, o.end(ctx, err)
}

// TryRegister takes a ticket if fewer are in line than may own, in one round trip.
// The dead do not count; they are removed. An error leaves no ticket, as for
// Register.
func (v *view) TryRegister(ctx context.Context) (t queue.Ticket, ok bool, err error) {
	o, err := v.begin(ctx, "try to register")
	if err == nil {
		t, ok, err = o.join(ctx, brief, tryRegisterScript, nil)
	}
	return t, ok, o.end(ctx, err)
}

// join runs one of the two scripts that put a ticket in line. together does it for
// several.
func (o *operation) join(ctx context.Context, p retryPolicy, script func() *script, together *joint) (t queue.Ticket, ok bool, err error) {
	o.token = o.notifier.NewToken()
	sent := time.Now()
	// The waiter is there before a message for it can come, so that no message
	// is missed between registering and watching.
	o.notifier.Open(o.token, o.name)
	defer func() {
		if !ok { // or a trace of the caller's has panicked
			o.forget(false)
		}
	}()
	r, run := o.registration(ctx, script)
	if o.owners == 0 && o.presence == nil {
		r.joint = together
	}
	answer, lost, err := o.exchange(ctx, p, r)
	if err == nil {
		switch {
		case answer.status == statusOK:
			t, err = o.taken(answer, sent, run)
			ok = err == nil
		case answer.status == statusBusy && together == nil: // which is not said to Register
			o.repairIf(ctx, at[int64](answer, 0))
		case answer.status == statusKind:
			err = kindError(o.owners, int(at[int64](answer, 0)))
		default:
			err = answer.status.err()
		}
	}
	o.takeBack(ctx, answer, lost, ok, err)
	return t, ok, err
}

// registration is the request for a ticket, and the run id of the server that was known to
// see the process when it was made.
func (o *operation) registration(ctx context.Context, script func() *script) (r request, run string) {
	presence := "-"
	if o.presence != nil {
		o.presence.Join(ctx, o.token) // it may wait for the connection
		run = o.presence.Seen()
		presence = o.presenceOf(run, unseen)
	}
	terms := leaseValue{o.lease, o.owners, presence, os.Getpid(), hostName(), o.label}
	return o.ofTicket(script, o.token, o.lease.Milliseconds(), o.lasts(), terms.text()), run
}

// takeBack takes back what a registration may have done, or may yet do, unless it has
// brought a ticket (ok). lost is how often it was sent and not answered.
func (o *operation) takeBack(ctx context.Context, answer reply, lost int, ok bool, err error) {
	switch {
	case ok && lost > 0:
		o.senders.resent.Store(o.token, false) // another request may still be under way
	case lost > 0 || err != nil && answer.status != "" && !answer.status.refuses(): // what it has done is not known
		o.abandon(ctx, o.lease.Milliseconds())
	case err != nil && isReply(err) && !isRefusal(err):
		o.abandon(ctx, 0) // it may have failed half way
	}
}

// taken makes the ticket that an answer says was taken, by a call that began at sent.
func (o *operation) taken(answer reply, sent time.Time, run string) (queue.Ticket, error) {
	member := at[string](answer, 0)
	e, err := parseEntry(member)
	if err == nil && e.token != o.token {
		err = errors.New("the script answered the ticket of another request")
	}
	ahead, wrong := answer.ahead(1, 3)
	if err = cmp.Or(err, wrong); err != nil {
		return queue.Ticket{}, err
	}
	t := queue.Ticket{Number: e.number, Member: member, Ahead: ahead, Lease: o.lease}
	if o.presence != nil {
		t.Lost = o.presence.Bind(o.token, member, run)
	}
	w := o.waiter(t)
	w.Owns, w.Until = t.Ahead == 0, believed(sent, o.lease)
	if o.owners == 0 {
		w.Front = at[string](answer, 2)
	}
	o.notifier.Bind(w)
	if o.presence != nil && ahead > 1 && !o.notifier.Issued(tokenOf(at[string](answer, 2))) {
		// It may be the one to look, see together in position.lua.
		o.notifier.HintAfter(o.token, min(o.grace/4, longestWatched))
	}
	return t, nil
}

// abandon takes back a registration that returned an error, or that was answered
// after it was sent more than once. A mark refuses the request for so long, should
// it arrive late. The caller's ctx may have ended it, so it does not count here.
func (o *operation) abandon(ctx context.Context, mark int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	// A ticket that is still there after all the tries runs out with its lease.
	_, _, _ = o.exchange(ctx, retryPolicy{longest: abandonTimeout, always: true}, o.ofTicket(releaseScript, "", mark, 1))
}

// waiter is all that the notifier must know of a ticket.
func (o *operation) waiter(t queue.Ticket) notifier.Ticket {
	return notifier.Ticket{Token: o.token, Entry: t.Member, Line: o.name, Number: t.Number, Owners: max(1, o.owners), Presence: o.presence}
}

// believed is until when a ticket with that lease is believed, that was taken or
// renewed by a call that began at sent: by this process's clock, with a margin. That is
// twice the margin of package lock, so that a hold that it has given up hands on no more.
func believed(sent time.Time, lease time.Duration) time.Time { return sent.Add(lease - lease/5) }

// IsHead reports whether t owns: whether it is the first in line whose owner is
// alive, or one of the first in a view of [Queue.Share]. It removes the dead among
// them.
func (v *view) IsHead(ctx context.Context, t queue.Ticket) (bool, error) {
	place, err := v.place(ctx, "look for the head with", &t)
	return err == nil && place.Ahead == 0, err
}

// Position removes the dead among the owners and reports how many must leave before
// t owns, in one round trip.
//
// Recheck is how long all the owners are believed. It is 0 as long as t is not
// watched, or the subscription is refused or down, and for a while after a ticket
// of this client was found to own without having been told.
func (v *view) Position(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	return v.place(ctx, "look for the position of", &t)
}

func (v *view) place(ctx context.Context, verb string, t *queue.Ticket) (place queue.Place, err error) {
	o, err := v.beginTicket(ctx, verb, t)
	if err == nil {
		place, err = o.look(ctx)
	}
	return place, o.end(ctx, err)
}

func (o *operation) look(ctx context.Context) (queue.Place, error) {
	if err := o.notifier.Settle(ctx, o.token); err != nil {
		return queue.Place{}, err
	}
	answer, err := o.askOfTicket(ctx, positionScript)
	if err != nil {
		return queue.Place{}, err
	}
	ahead, err := answer.ahead(0, 3)
	if err != nil {
		return queue.Place{}, err
	}
	place := queue.Place{Ahead: ahead}
	milliseconds := at[int64](answer, 1)
	o.repairIf(ctx, milliseconds)
	switch {
	case place.Ahead == 0:
		o.notifier.Found(o.token)
	case milliseconds > 0 && o.notifier.Reliable(o.token):
		place.Recheck = time.Duration(milliseconds) * time.Millisecond
	}
	o.notifier.HintAfter(o.token, time.Duration(at[int64](answer, 2))*time.Millisecond)
	return place, nil
}

// Watch listens for t, through the one connection that the client has for
// this. It does no I/O itself: the connection is made in the background. A waiter
// near the head gets a [queue.WakeHint] when it is there, and whenever it was lost;
// every waiter gets one when the client was closed. With crash detection, one that has
// looked gets the next in time to notice the end of a process whose tickets are all that
// wait in front of it, however many.
//
// Only tickets that were taken through the same client can be watched; for any
// other it returns an error for which errors.Is(err, errors.ErrUnsupported)
// holds.
func (v *view) Watch(ctx context.Context, t queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	o, err := v.beginTicket(ctx, "watch", &t)
	if err == nil && !o.notifier.Issued(o.token) {
		err = fmt.Errorf("the ticket was taken through another client: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return nil, func() {}, o.end(ctx, err)
	}
	wake, stop = o.notifier.Watch(o.waiter(t))
	return wake, stop, nil
}

// Refresh makes t's lease last again for its own length, not for that of this
// queue, and removes the dead among the owners. It needs no memory of the
// server, and never makes a ticket or a lease that is not there.
//
// It also finds an owner that is none any more, although its ticket is in line: the
// address of the primary has moved to a replica, which gave the place to t, and back. Where
// those in front of t are kept alive, t leaves, and the error is [queue.ErrNotQueued]. A Ring
// whose addresses have changed meanwhile does not tell.
func (v *view) Refresh(ctx context.Context, t queue.Ticket) error {
	o, err := v.beginTicket(ctx, "refresh", &t)
	if err == nil {
		err = o.refresh(ctx)
	}
	return o.end(ctx, err)
}

func (o *operation) refresh(ctx context.Context) error {
	sent := time.Now()
	answer, err := o.askOfTicket(ctx, refreshScript, o.presenceToKeep(o.token))
	if err != nil {
		return err
	}
	o.notifier.Renewed(o.token, believed(sent, o.leaseOf(o.ticket)))
	if !o.notifier.Behind(o.token, sent, time.Duration(at[int64](answer, 0))*time.Millisecond) {
		return nil
	}
	go func() { // the owner is told first, and not which tickets this evicts
		ctx, cancel := context.WithTimeout(context.Background(), abandonTimeout)
		defer cancel()
		_ = o.leave(ctx, 1) // otherwise it lapses
	}()
	return errDisplaced
}

// Remove takes t out of the line, tells the next, and leaves the seq key as it
// is. See Release.
func (v *view) Remove(ctx context.Context, t queue.Ticket) error {
	return v.leave(ctx, "remove", &t, 0)
}

// Release takes t out of the line, tells those that own now, and removes every key
// of a line that has become empty, in one round trip.
//
// When the server does not answer, or is not able to just now (it is busy,
// loading, or about to be replaced), Release asks again until ctx ends or the
// lease must have run out. If t has handed on to another ticket of this process, that goes
// on in the background when ctx has ended. If a request was not answered, and the answer to
// the next is that t is not in line, t is taken to have been removed by the first.
func (v *view) Release(ctx context.Context, t queue.Ticket) error {
	return v.leave(ctx, "release", &t, 1)
}

func (v *view) leave(ctx context.Context, verb string, t *queue.Ticket, cleanup int) error {
	o, err := v.beginTicket(context.WithoutCancel(ctx), verb, t)
	ended := ctx.Err()
	switch {
	case err == nil && ended == nil:
		err = o.leave(ctx, cleanup)
	case err == nil:
		o.forget(false) // it is given up all the same, as when nothing answers
		o.lapse()
	}
	return o.end(ctx, cmp.Or(ended, err))
}

func (o *operation) leave(ctx context.Context, cleanup int) error {
	lease := o.leaseOf(o.ticket)
	var mark int64
	if _, ok := o.senders.resent.Load(o.token); ok {
		mark = lease.Milliseconds()
	}
	leaving := o.notifier.GiveUp(o.token) // the next of this process goes on now
	o.dropBefore()
	var answer reply
	var lost int
	goesOn := false
	defer func() { // also when a trace of the caller's panics
		if leaving != nil && !goesOn {
			leaving.Answered(wasRemoved(answer, lost), at[string](answer, 0))
		}
		o.notifier.Leave(o.token, answer.status == statusGone && !wasRemoved(answer, lost), o.presence)
	}()
	r := o.ofTicket(releaseScript, o.ticket.Member, mark, cleanup)
	r.ordered = leaving != nil && leaving.Ordered()
	if r.ordered && mark == 0 && o.owners == 0 && o.presence == nil {
		r.joint = releaseTogether
	}
	answer, lost, err := o.exchange(ctx, retryPolicy{longest: lease, always: true}, r)
	if err != nil {
		if goesOn = r.ordered && ctx.Err() != nil; goesOn {
			go o.leaveLater(r, leaving)
		}
		o.lapse()
		return err
	}
	o.senders.resent.Delete(o.token) // the server has the mark
	if wasRemoved(answer, lost) {
		return nil
	}
	return answer.status.err()
}

// leaveLater goes on with a release that has handed on to another ticket of this process,
// and whose caller's time is up: while the ticket is in line that hold is not the server's
// word, and would be lost although nothing has happened to it. The caller has returned, so
// that it is not told which tickets this evicts.
func (o *operation) leaveLater(r request, leaving *notifier.Leaving) {
	lease := o.leaseOf(o.ticket)
	ctx, cancel := context.WithTimeout(context.Background(), lease)
	defer cancel()
	var answer reply
	defer func() {
		// A ticket that is gone may have been released by the caller once more.
		leaving.Answered(wasRemoved(answer, 1), at[string](answer, 0))
	}()
	r.joint = nil // it may have been executed
	var err error
	if answer, _, err = o.exchange(ctx, retryPolicy{longest: lease, always: true}, r); err == nil {
		o.senders.resent.Delete(o.token)
	}
}

// wasRemoved reports whether a release has taken the ticket out of the line. lost is how
// many of its requests may have been executed without an answer.
func wasRemoved(answer reply, lost int) bool {
	return answer.status == statusOK || answer.status == statusGone && lost > 0
}
