package notifier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/queue"
)

const testGrace = time.Second

// script is a server that answers a presence as a test says.
type script struct {
	seen func() (string, error)
	sign func(entry string) error

	mu    sync.Mutex
	signs []sign // that were sent
	runs  []string
}

func (s *script) server() Server {
	return Server{
		Seen: func(context.Context, string) (string, error) { return s.seen() },
		Sign: func(_ context.Context, entry, run string, renew bool) error {
			s.mu.Lock()
			s.signs, s.runs = append(s.signs, sign{entry, renew}), append(s.runs, run)
			s.mu.Unlock()
			return s.sign(entry)
		},
	}
}

func (s *script) sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.signs)
}

// always returns a server that has seen the subscription, and that answers signs with the
// given error.
func always(err error) *script {
	return &script{
		seen: func() (string, error) { return "run", nil },
		sign: func(string) error { return err },
	}
}

// attach gives a notifier a presence, and a subscription that is up.
func attach(t *testing.T, s *script) (*Notifier, *Presence) {
	n := New(nil, tokenOf)
	n.subscription = newSubscription(n)
	t.Cleanup(n.subscription.cancel)
	p := n.NewPresence("line", testGrace, s.server())
	t.Cleanup(func() { leaveAll(p) })
	n.up(n.subscription)
	return n, p
}

// leaveAll ends what a presence does.
func leaveAll(p *Presence) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	for token := range p.tickets {
		p.leaveLocked(token)
	}
}

// take joins and binds tickets.
func take(t *testing.T, n *Notifier, p *Presence, count int) (lost []<-chan struct{}) {
	t.Helper()
	for i := range count {
		token := n.NewToken()
		p.Join(t.Context(), token)
		run := p.Seen()
		lost = append(lost, p.Bind(token, fmt.Sprintf("%d:%s:1", i+1, token), run))
	}
	return lost
}

// closed counts the channels that are closed.
func closed(all []<-chan struct{}) (count int) {
	for _, c := range all {
		select {
		case <-c:
			count++
		default:
		}
	}
	return count
}

// The tickets of a process are evicted together. If one has been, the others are asked
// about at once, however that was found out.
func TestTicketsOfAPresenceAreToldTogether(t *testing.T) {
	for what, find := range map[string]func(n *Notifier, p *Presence, token string){
		"by a sign": func(_ *Notifier, p *Presence, _ string) {
			p.n.mu.Lock()
			defer p.n.mu.Unlock()
			p.showLocked()
		},
		"by the caller's": func(n *Notifier, p *Presence, token string) { n.Leave(token, true, p) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(nil)
				n, p := attach(t, s)
				token := n.NewToken()
				p.Join(t.Context(), token)
				p.Bind(token, "1:"+token+":1", "run")
				lost := take(t, n, p, 5)
				p.Answered(time.Now())
				synctest.Wait()
				s.sign = func(string) error { return fmt.Errorf("sign: %w", queue.ErrNotQueued) }
				find(n, p, token)
				synctest.Wait()
				if got := closed(lost); got != len(lost) {
					t.Errorf("%d of %d other tickets are told", got, len(lost))
				}
			})
		})
	}
}

// unseen gives a notifier a presence, and a subscription that is up, and that the server has
// not seen before let is called. A sign takes a moment; busy is how many were under way
// at a time at most.
func unseen(t *testing.T, s *script) (n *Notifier, p *Presence, let func(), busy *atomic.Int32) {
	seen, answer := s.seen, s.sign
	sees := make(chan struct{})
	s.seen = func() (string, error) { <-sees; return seen() }
	n, p = attach(t, s)
	var underWay atomic.Int32
	busy = new(atomic.Int32)
	s.sign = func(entry string) error {
		busy.Store(max(busy.Load(), underWay.Add(1)))
		defer underWay.Add(-1)
		sent := time.Now()
		time.Sleep(testGrace / 100)
		err := answer(entry)
		if err == nil {
			p.Answered(sent)
		}
		return err
	}
	return n, p, func() { close(sees) }, busy
}

// wantSigns checks that as many signs as want were sent after the first since, each about
// another ticket, and that they say that run of the server.
func wantSigns(t *testing.T, s *script, since, want int, run string) {
	t.Helper()
	synctest.Wait()
	signs := s.signs[since:]
	about := make(map[string]bool)
	for i, sign := range signs {
		about[sign.entry] = true
		if said := s.runs[since+i]; said != run || !sign.renew {
			t.Errorf("sign %d says %q, and renews: %v; want %q, and that it renews", i, said, sign.renew, run)
		}
	}
	if len(signs) != want || len(about) != want {
		t.Errorf("%d signs about %d tickets, want one about each of %d: %v", len(signs), len(about), want, signs)
	}
}

// A ticket that was registered before the server had seen the connection says so at once
// when it has, and not with its next heartbeat: until then its end is not noticed. So does
// each of them, one after the other.
func TestSeenAfterTheTicketsWereRegistered(t *testing.T) {
	for what, register := range map[string]func(t *testing.T, n *Notifier, p *Presence, let func()){
		"before": func(t *testing.T, n *Notifier, p *Presence, let func()) {
			take(t, n, p, 3*signsUnderWay)
			p.Answered(time.Now())
			let()
		},
		"meanwhile": func(t *testing.T, n *Notifier, p *Presence, let func()) {
			var tokens []string
			for range 3 * signsUnderWay {
				tokens = append(tokens, n.NewToken())
				p.Join(t.Context(), tokens[len(tokens)-1])
			}
			p.Answered(time.Now())
			let()
			synctest.Wait()
			for i, token := range tokens {
				p.Bind(token, fmt.Sprintf("%d:%s:1", i+1, token), "")
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(nil)
				n, p, let, busy := unseen(t, s)
				register(t, n, p, let)
				time.Sleep(testGrace)
				wantSigns(t, s, 0, 3*signsUnderWay, "run")
				if busy.Load() != 1 {
					t.Errorf("%d signs were under way at a time", busy.Load())
				}
				take(t, n, p, 2) // which say so from the beginning
				time.Sleep(testGrace)
				wantSigns(t, s, 0, 3*signsUnderWay, "run")
			})
		})
	}
}

// A connection that is made anew costs no sign about each ticket, unless it is to another
// run of the server: what they say of the old one is nothing to that.
func TestSeenByAnotherRun(t *testing.T) {
	for run, want := range map[string]int{"run": 1, "another": 5} {
		t.Run(run, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(nil)
				n, p, let, _ := unseen(t, s)
				let()
				take(t, n, p, 5)
				p.Answered(time.Now())
				time.Sleep(testGrace)
				n.down(n.subscription)
				time.Sleep(testGrace / 10) // the sign that is sent at once says nothing of a run
				synctest.Wait()
				before := s.sent()
				s.seen = func() (string, error) { time.Sleep(testGrace / 10); return run, nil }
				n.up(n.subscription)
				synctest.Wait()
				if got := s.sent() - before; got != 1 {
					t.Fatalf("%d signs before the connection is seen, want 1", got)
				}
				time.Sleep(testGrace / 2)
				wantSigns(t, s, before+1, want, run)
			})
		})
	}
}

// What a sign could not say for want of an answer is said after the next ping, and not
// again and again; about a ticket that has left meanwhile nothing is said.
func TestSeenWhileSignsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(nil)
		var refuses atomic.Bool
		refuses.Store(true)
		s.sign = func(string) error {
			if refuses.Load() {
				return errors.New("no connection")
			}
			return nil
		}
		n, p, let, _ := unseen(t, s)
		take(t, n, p, 5)
		p.Answered(time.Now())
		let()
		time.Sleep(testGrace / 8)
		n.ponged(n.subscription, time.Now())
		time.Sleep(testGrace / 8)
		synctest.Wait()
		before := s.sent()
		if before != 2 {
			t.Errorf("%d signs that were not answered, want one for each occasion", before)
		}
		for token, ticket := range p.tickets {
			if ticket.entry == s.signs[0].entry {
				n.Leave(token, false, p)
			}
		}
		refuses.Store(false)
		n.ponged(n.subscription, time.Now())
		time.Sleep(testGrace / 8)
		wantSigns(t, s, before, 4, "run")
		n.ponged(n.subscription, time.Now())
		time.Sleep(testGrace / 8)
		wantSigns(t, s, before, 4, "run")
	})
}

// A ticket about which no sign can be sent, because its lease is of the wrong type, say,
// does not hold up the others.
func TestSeenWhileSignsOfOneFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(nil)
		n, p, let, _ := unseen(t, s)
		take(t, n, p, 5)
		bad := p.firstLocked().entry
		s.sign = func(entry string) error {
			if entry == bad {
				return errors.New("the wrong type")
			}
			return nil
		}
		p.Answered(time.Now())
		let()
		for range 3 {
			time.Sleep(testGrace / 8)
			n.ponged(n.subscription, time.Now())
		}
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, ticket := range p.tickets {
			if ticket.entry != bad && ticket.run != n.run {
				t.Errorf("%s is not armed", ticket.entry)
			}
		}
	})
}

// When the last ticket has left, no sign follows the one that is under way.
func TestSeenAndAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(nil)
		n, p, let, _ := unseen(t, s)
		take(t, n, p, 5)
		p.Answered(time.Now())
		let()
		synctest.Wait()
		leaveAll(p)
		time.Sleep(testGrace)
		wantSigns(t, s, 0, 1, "run")
	})
}

// The server is asked again which run of it sees the connection, if the first time it
// could not say.
func TestSeenLater(t *testing.T) {
	for what, first := range map[string]error{"an error": errors.New("LOADING"), "another server": nil} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(nil)
				seen := s.seen
				s.seen = func() (string, error) { return "", first }
				n, p := attach(t, s)
				take(t, n, p, 1)
				synctest.Wait()
				if run := p.Seen(); run != "" {
					t.Errorf("seen by %q", run)
				}
				s.seen = seen
				time.Sleep(testGrace / 2)
				n.ponged(n.subscription, time.Now())
				synctest.Wait()
				if run := p.Seen(); run != "run" {
					t.Errorf("seen by %q, want run", run)
				}
			})
		})
	}
}

// What the server says of a connection that has broken meanwhile counts for nothing: the
// next may be to another server.
func TestSeenTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(nil)
		let := make(chan struct{})
		s.seen = func() (string, error) { <-let; return "old", nil }
		n, p := attach(t, s)
		token := n.NewToken()
		p.Join(t.Context(), token)
		synctest.Wait()
		n.down(n.subscription)
		s.seen = func() (string, error) { return "new", nil }
		time.Sleep(time.Millisecond)
		n.up(n.subscription)
		synctest.Wait()
		close(let)
		synctest.Wait()
		if run := p.Seen(); run != "new" {
			t.Errorf("seen by %q, want new", run)
		}
	})
}

// A connection that breaks while the first ticket is being registered is no loss before
// the grace time, counted from then, is over: the registration is a sign.
func TestBrokenWhileRegistering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(errors.New("no connection"))
		n, p := attach(t, s)
		take(t, n, p, 1)
		p.Answered(time.Now())
		synctest.Wait()
		leaveAll(p)
		time.Sleep(3 * testGrace) // the latest sign is old
		n.ponged(n.subscription, time.Now())
		began := time.Now()
		token := n.NewToken()
		p.Join(t.Context(), token)
		n.down(n.subscription)
		time.Sleep(testGrace * 8 / 10)
		lost := p.Bind(token, "1:"+token+":1", "run")
		synctest.Wait()
		if closed([]<-chan struct{}{lost}) != 0 {
			t.Fatal("lost though it was registered just now")
		}
		<-lost
		if took := time.Since(began); took > testGrace {
			t.Errorf("told after %v, which is more than the grace time", took)
		}
	})
}

// A timer that fires late says that the process stood still: it asks before it gives up.
// When nothing answers, it is soon over.
func TestPauseIsNoLossByItself(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := always(errors.New("no connection"))
			n, p := attach(t, s)
			lost := take(t, n, p, 2)
			p.Answered(time.Now())
			synctest.Wait()
			time.Sleep(10 * testGrace) // as if no time had passed for this process
			before := s.sent()
			n.down(n.subscription)
			synctest.Wait()
			if s.sent() == before || closed(lost) > 0 {
				t.Errorf("%d signs, %d lost: want it to ask", s.sent()-before, closed(lost))
			}
			if answers {
				p.Answered(time.Now())
			}
			time.Sleep(testGrace / 2)
			if got, want := closed(lost) == 0, answers; got != want {
				t.Errorf("kept: %v, want %v", got, want)
			}
			time.Sleep(2 * testGrace)
			if closed(lost) != len(lost) {
				t.Errorf("%d of %d are told", closed(lost), len(lost))
			}
		})
	}
}

// A ping is a sign only on a connection on which a script was answered: a ping clears no
// mark.
func TestPingIsNoSignBeforeAScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(errors.New("no connection"))
		n, p := attach(t, s)
		lost := take(t, n, p, 1)
		p.Answered(time.Now())
		synctest.Wait()
		last := time.Now()
		time.Sleep(testGrace / 10)
		n.down(n.subscription)
		time.Sleep(testGrace / 10)
		n.up(n.subscription)
		for closed(lost) == 0 && time.Since(last) < 10*testGrace {
			time.Sleep(testGrace / 10)
			n.ponged(n.subscription, time.Now())
		}
		if took := time.Since(last); took > testGrace {
			t.Errorf("told %v after the last sign, which is more than the grace time", took)
		}
	})
}

// A ping is no sign on a connection that the line's server does not see: that one marks the
// process all the time. So signs go on until the server has seen the connection, and when
// they are not answered any more the tickets are lost.
func TestPingIsNoSignWhereTheConnectionIsNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(nil)
		seen := s.seen
		n, p := attach(t, s)
		answer := func(string) error { p.Answered(time.Now()); return nil }
		s.sign = answer
		lost := take(t, n, p, 1)
		pass := func(grace int) (signs int) {
			before := s.sent()
			for range 4 * grace {
				time.Sleep(testGrace / 4)
				n.ponged(n.subscription, time.Now())
			}
			synctest.Wait()
			return s.sent() - before
		}
		pass(1)
		n.down(n.subscription)
		s.seen = func() (string, error) { return "", nil }
		time.Sleep(testGrace / 10)
		n.up(n.subscription)
		for range 3 {
			if signs := pass(1); signs < 3 || closed(lost) > 0 {
				t.Fatalf("%d signs within the grace time, %d lost; want one in each quarter, and none lost", signs, closed(lost))
			}
		}
		s.seen = seen
		pass(1)
		if signs := pass(3); signs > 0 {
			t.Errorf("%d signs though the connection is seen again", signs)
		}
		n.down(n.subscription)
		s.seen = func() (string, error) { return "", nil }
		time.Sleep(testGrace / 10)
		n.up(n.subscription)
		pass(1)
		s.sign = func(string) error { return errors.New("no connection") }
		if pass(1); closed(lost) == 0 {
			t.Error("not lost, though no script was answered for the grace time")
		}
	})
}

// A process that was well until its connection has broken keeps its tickets through an
// outage of nearly half the grace time.
func TestOutageOfHalfTheGraceTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(nil)
		n, p := attach(t, s)
		var away atomic.Bool
		s.sign = func(string) error {
			if away.Load() {
				return errors.New("no connection")
			}
			p.Answered(time.Now())
			return nil
		}
		lost := take(t, n, p, 1)
		p.Answered(time.Now())
		time.Sleep(n.lookAfter(false)) // and now it is about to be asked again
		away.Store(true)
		n.down(n.subscription)
		time.Sleep(testGrace/2 - time.Millisecond)
		away.Store(false)
		time.Sleep(3 * testGrace)
		if closed(lost) > 0 {
			t.Error("lost")
		}
	})
}

// The first ticket waits until the server has seen the connection, but not for long, and
// no longer than its ctx.
func TestJoinWaitsForTheConnection(t *testing.T) {
	for what, test := range map[string]struct{ seen, want time.Duration }{
		"soon":  {seenTimeout / 2, seenTimeout / 2},
		"never": {time.Hour, seenTimeout},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(nil)
				s.seen = func() (string, error) { time.Sleep(test.seen); return "run", nil }
				n, p := attach(t, s)
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				for _, c := range []struct {
					ctx  context.Context
					want time.Duration
				}{{ended, 0}, {t.Context(), test.want}} {
					began := time.Now()
					p.Join(c.ctx, n.NewToken())
					if took := time.Since(began); took != c.want {
						t.Errorf("Join took %v, want %v", took, c.want)
					}
				}
				time.Sleep(test.seen)
			})
		})
	}
}

// A sign that renews the lease is not sent for a ticket if its lease may have run out by
// this process's clock: its hold is lost, and must not hold up the line for another
// lease. But the process is shown all the same.
func TestNoSignRenewsALostHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(errors.New("no connection"))
		n, p := attach(t, s)
		var entries []string
		for i, lease := range []time.Duration{testGrace, 6 * testGrace} {
			token := n.NewToken()
			entries = append(entries, fmt.Sprintf("%d:%s:1", i+1, token))
			p.Join(t.Context(), token)
			n.Open(token, "line")
			p.Bind(token, entries[i], "run")
			n.Bind(Ticket{Token: token, Entry: entries[i], Line: "line", Presence: p, Owns: i == 0, Until: time.Now().Add(lease)})
		}
		for _, want := range []sign{
			{entries[0], true},
			{entries[1], true},  // the first is not believed any more
			{entries[0], false}, // neither is: it shows the process, and renews nothing
		} {
			time.Sleep(time.Millisecond)
			p.Answered(time.Now())
			n.down(n.subscription)
			synctest.Wait()
			if last := s.signs[s.sent()-1]; last != want {
				t.Errorf("the sign is %v, want %v", last, want)
			}
			n.up(n.subscription)
			time.Sleep(time.Millisecond)
			p.Answered(time.Now())
			time.Sleep(3 * testGrace)
		}
	})
}

// A hand-off in the process needs a sign of life that is not too old, too: a process that
// stood still may have been evicted.
func TestNoHandOffWithoutASign(t *testing.T) {
	for what, test := range map[string]struct {
		after time.Duration
		want  queue.Wake
	}{
		"at once":          {testGrace / 2, queue.WakeOwner},
		"after a pause":    {testGrace, -1},
		"after it is over": {-1, -1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, p := attach(t, always(errors.New("no connection")))
				bind := func(number int64, front string) Ticket {
					token := n.NewToken()
					p.Join(t.Context(), token)
					n.Open(token, "line")
					ticket := Ticket{
						Token: token, Entry: fmt.Sprintf("%d:%s:1", number, token), Line: "line", Number: number, Owners: 1,
						Presence: p, Front: front, Owns: front == "", Until: time.Now().Add(time.Hour),
					}
					n.Bind(ticket)
					p.Bind(token, ticket.Entry, "run")
					return ticket
				}
				first := bind(1, "")
				second := bind(2, first.Entry)
				wake, stop := n.Watch(second)
				p.Answered(time.Now())
				if test.after < 0 {
					n.down(n.subscription)
					time.Sleep(2 * testGrace)
				} else {
					time.Sleep(test.after)
				}
				woken(wake)
				n.GiveUp(first.Token)
				if got := woken(wake); got != test.want {
					t.Errorf("woken by %v, want %v", got, test.want)
				}
				stop()
			})
		})
	}
}

// The client changes over to another server, and the subscription stays at the old one,
// which answers its pings. It is made anew when the new one says that it does not see it,
// and not where that is not known.
func TestSubscriptionStaysBehind(t *testing.T) {
	away := errors.New("away")
	for what, c := range map[string]struct {
		run   string
		err   error
		stale bool
	}{
		"the same server":  {"run", nil, false},
		"another server":   {"other", nil, true},
		"not subscribed":   {"", nil, true},
		"the server fails": {"", away, false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(nil)
				n, p := attach(t, s)
				take(t, n, p, 1)
				p.Answered(time.Now())
				synctest.Wait()
				asked := 0
				s.seen = func() (string, error) { asked++; return c.run, c.err }
				pinged := func() {
					n.ponged(n.subscription, time.Now())
					synctest.Wait()
				}
				time.Sleep(silence / 2)
				if pinged(); asked != 0 {
					t.Errorf("asked %d times, %v after the last time", asked, silence/2)
				}
				time.Sleep(silence)
				if pinged(); asked != 1 || n.isStale(n.subscription) != c.stale {
					t.Errorf("asked %d times, made anew: %v; want once, %v", asked, n.isStale(n.subscription), c.stale)
				}
			})
		})
	}
}

// A connection that the server has closed without its being heard looks like one that is
// silent. A sign is sent so soon that the server cannot have evicted the process by then,
// whenever it has closed it since the ping before. Only later the connection is given up,
// and only if a script was answered meanwhile.
func TestSilentConnection(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := always(errors.New("no connection"))
			n, p := attach(t, s)
			lost := take(t, n, p, 1)
			p.Answered(time.Now())
			last := time.Now() // of the pings that were answered
			time.Sleep(n.lookAfter(false))
			asked := time.Now()
			before := s.sent()
			for gaveUp, looks := false, 0; !gaveUp && looks < 40; looks++ {
				time.Sleep(n.lookAfter(true))
				gaveUp = n.silent(asked)
				synctest.Wait()
				if looks == 0 && (gaveUp || s.sent() == before || time.Since(last) > testGrace/2) {
					t.Errorf("%v after the last answer: given up: %v, %d signs; want a sign", time.Since(last), gaveUp, s.sent()-before)
				}
				if gaveUp != (answers && time.Since(asked) >= testGrace/2) {
					t.Errorf("given up after %v: %v (scripts are answered: %v)", time.Since(asked), gaveUp, answers)
				}
				if answers {
					p.Answered(time.Now())
				}
			}
			if closed(lost) > 0 {
				t.Error("lost though the connection has not broken")
			}
		})
	}
}
