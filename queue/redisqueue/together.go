package redisqueue

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// largestCall is how many requests go as one call of a script: it keeps others waiting
// for a fraction of a millisecond.
const largestCall = 64

// ticketArg is the index of the argument in which the requests of one call differ:
// the token of a registration, the entry of a release. The owners are in front of it
// with the notifier, the presence is last.
const ticketArg = 2

// goesWith reports whether two requests may be one call: they are the same, but for the
// ticket.
func (r *request) goesWith(other *request) bool {
	if r.joint == nil || r.joint != other.joint || r.keys[0] != other.keys[0] {
		return false
	}
	for i, arg := range r.args {
		if i != ticketArg && arg != other.args[i] {
			return false
		}
	}
	return true
}

// parcels are sent as one command. There is at least one.
type parcels struct {
	command command
	all     []*parcel
}

// bundle returns a batch as commands, in its order: a request stands in the place of
// the first one that it goes with.
func bundle(batch []*parcel) []*parcels {
	var bundles []*parcels
	for _, p := range batch {
		i := slices.IndexFunc(bundles, func(b *parcels) bool {
			return len(b.all) < largestCall && p.goesWith(&b.all[0].request)
		})
		if i < 0 {
			i = len(bundles)
			bundles = append(bundles, new(parcels))
		}
		bundles[i].all = append(bundles[i].all, p)
	}
	for _, b := range bundles {
		b.prepare(false)
	}
	return bundles
}

// prepare makes the command. whole says that it has the source of a script for several.
func (b *parcels) prepare(whole bool) {
	r := b.all[0].request
	if len(b.all) > 1 {
		r = b.request()
		r.whole = whole
	}
	b.command = r.command(b.all[0].ctx)
}

// request is that of all. Its arguments are those of each, but the owners and the
// presence, of which there are none; those in which they differ come last.
func (b *parcels) request() request {
	first := b.all[0]
	r := request{script: first.joint.script()}
	r.keys = append(make([]string, 0, 2+len(b.all)), first.keys[:2]...)
	r.args = append(make([]any, 0, len(first.args)+len(b.all)), first.args[1])
	r.args = append(r.args, first.args[ticketArg+1:len(first.args)-1]...)
	for _, p := range b.all {
		r.keys = append(r.keys, p.keys[2])
		r.args = append(r.args, p.args[ticketArg])
	}
	return r
}

// answered hands out the answer, and returns those that are to be sent now.
func (b *parcels) answered() []*parcels {
	value, err := b.command.answer()
	switch {
	case len(b.all) == 1:
		b.all[0].land(value, err)
		return nil
	case redis.HasErrorPrefix(err, "NOSCRIPT") && b.command.Name() == "evalsha":
		b.prepare(true)
		return []*parcels{b}
	case err == nil && value == "alone":
		return b.apart()
	}
	values, _ := value.([]any)
	if err == nil && len(values) != len(b.all)+b.all[0].joint.others {
		err = fmt.Errorf("the script answered %d values to %d requests", len(values), len(b.all))
	}
	for i, p := range b.all {
		if err != nil {
			p.land(nil, err)
		} else {
			p.land(p.joint.answer(values, i), nil)
		}
	}
	return nil
}

// apart returns each by itself.
func (b *parcels) apart() []*parcels {
	var each []*parcels
	for i := range b.all {
		alone := &parcels{all: b.all[i : i+1]}
		alone.prepare(false)
		each = append(each, alone)
	}
	return each
}

// parcel is a request that waits for its flight.
type parcel struct {
	request
	ctx   context.Context
	value any // the answer
	err   error
	done  chan struct{} // closed when there is the answer
}

// land hands the answer out.
func (p *parcel) land(value any, err error) {
	p.value, p.err = value, err
	close(p.done)
}
