package notifier

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// tokenOf is what the tests' entries look like: number:token:time.
func tokenOf(entry string) string {
	fields := strings.Split(entry, ":")
	if len(fields) != 3 {
		return ""
	}
	return fields[1]
}

// up returns a notifier with a subscription that is up, without a client.
func up() *Notifier {
	n := New(nil, tokenOf)
	n.subscription = newSubscription(n)
	n.listening = true
	return n
}

// join opens a waiter and binds it.
func join(n *Notifier, line string, number int64) Ticket {
	t := Ticket{Token: n.NewToken(), Line: line, Number: number, Owners: 1}
	t.Entry = fmt.Sprintf("%d:%s:1", number, t.Token)
	n.Open(t.Token, line)
	n.Bind(t)
	return t
}

// woken returns what is in a channel, -1 if nothing.
func woken(wake <-chan queue.Wake) queue.Wake {
	select {
	case w := <-wake:
		return w
	default:
		return -1
	}
}

// The latest counts, but a grant is never displaced by a hint.
func TestWake(t *testing.T) {
	for _, test := range []struct {
		put  []queue.Wake
		want queue.Wake
	}{
		{[]queue.Wake{queue.WakeHint}, queue.WakeHint},
		{[]queue.Wake{queue.WakeHint, queue.WakeHint}, queue.WakeHint},
		{[]queue.Wake{queue.WakeOwner}, queue.WakeOwner},
		{[]queue.Wake{queue.WakeHint, queue.WakeOwner}, queue.WakeOwner},
		{[]queue.Wake{queue.WakeOwner, queue.WakeHint}, queue.WakeOwner},
		{[]queue.Wake{queue.WakeOwner, queue.WakeHint, queue.WakeOwner, queue.WakeHint}, queue.WakeOwner},
	} {
		wake := make(chan queue.Wake, 1)
		for _, put := range test.put {
			wakeup.Put(wake, put)
		}
		if got := <-wake; got != test.want || len(wake) != 0 {
			t.Errorf("after %v: %v, and %d more; want only %v", test.put, got, len(wake), test.want)
		}
	}
}

// A token may have two entries, when its request was executed twice. A message opens
// the waiter of its own entry alone, whether it comes before the entry is known or
// after (K01, K02).
func TestMessageOfAnotherEntry(t *testing.T) {
	for _, early := range []bool{true, false} {
		for _, own := range []bool{true, false} {
			n := up()
			token := n.NewToken()
			n.Open(token, "line")
			first, second := "1:"+token+":1", "2:"+token+":2"
			message, want := first, queue.Wake(-1)
			if own {
				message, want = second, queue.WakeOwner
			}
			if early {
				n.Deliver(message)
			}
			n.Bind(Ticket{Token: token, Entry: second, Line: "line", Number: 2, Owners: 1})
			if !early {
				n.Deliver(message)
			}
			if got := woken(n.waiters.byToken[token].wake); got != want {
				t.Errorf("early %v, its own %v: woken by %v; want %v", early, own, got, want)
			}
		}
	}
}

// FuzzMessage: a message is a grant only for the ticket of which it is the whole entry,
// and nothing else does anything.
func FuzzMessage(f *testing.F) {
	const ours = "0123456789abcdef0123456789abcdef.1"
	const entry = "1:" + ours + ":1"
	for _, message := range []string{
		"", " ", ":", "::", entry, entry + " ", " " + entry, entry + "\n", "01:" + ours + ":1", "1:" + ours, ":" + ours + ":", "2:" + ours + ":1",
		strings.ToUpper(entry), strings.Repeat(entry, 100), "1:" + ours + ":" + strings.Repeat("1", 600),
	} {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		n := up()
		n.Open(ours, "line")
		n.Bind(Ticket{Token: ours, Entry: entry, Line: "line", Number: 1, Owners: 1})
		n.Open("early", "line")
		n.Deliver(message)
		n.Bind(Ticket{Token: "early", Entry: "2:early:1", Line: "line", Number: 2, Owners: 1})
		for token, entry := range map[string]string{ours: entry, "early": "2:early:1"} {
			want := queue.Wake(-1)
			if message == entry {
				want = queue.WakeOwner
			}
			if got := woken(n.waiters.byToken[token].wake); got != want {
				t.Errorf("%q made %v for %q; want %v", message, got, entry, want)
			}
		}
	})
}

// Two processes that were resumed from one snapshot have the same notifier; their
// tokens differ all the same.
func TestTokensAreDrawn(t *testing.T) {
	n := up()
	twin := up()
	twin.id = n.id
	if a, b := n.NewToken(), twin.NewToken(); a == b || !n.Issued(b) {
		t.Errorf("tokens %q and %q", a, b)
	}
}

// The subscription ends, because nothing was watched for a while, between Register
// and Watch: what is published until there is another is missed.
func TestSubscriptionEndsBeforeWatch(t *testing.T) {
	n := up()
	n.client = unreachable{}
	ticket := join(n, "line", 1)
	n.unsubscribe()
	wake, stop := n.Watch(ticket)
	if got := woken(wake); got != queue.WakeHint {
		t.Errorf("woken by %v from a Watch that may have missed something; want WakeHint", got)
	}
	stop()
	n.unsubscribe()
}

// When the subscription changes, those near the head of each line look, and no
// others: all of them at once would be as many requests.
func TestOnlyThoseNearTheHeadLook(t *testing.T) {
	n := up()
	var long, short []Ticket
	for i := range int64(1000) {
		long = append(long, join(n, "long", 1000-i)) // in no order of their making
	}
	for i := range int64(2) {
		short = append(short, join(n, "short", i))
	}
	looks := func(tickets []Ticket) (count int) {
		for _, ticket := range tickets {
			if w := n.waiters.byToken[ticket.Token].wake; woken(w) == queue.WakeHint {
				count++
				if ticket.Line == "long" && ticket.Number > nearest {
					t.Errorf("number %d looks", ticket.Number)
				}
			}
		}
		return count
	}
	for what, change := range map[string]func(){
		"Reload": func() { n.Reload("long"); n.Reload("short") },
		"down":   func() { n.down(n.subscription) },
		"up":     func() { n.down(n.subscription); looks(long); looks(short); n.up(n.subscription) },
	} {
		n.listening = true
		change()
		if a, b := looks(long), looks(short); a != nearest || b != 2 {
			t.Errorf("%s: %d and %d look; want %d and 2", what, a, b, nearest)
		}
	}
}

// Many lines are not looked at all at once.
func TestLooksAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lines = 200
		n := up()
		var tickets []Ticket
		for i := range lines {
			tickets = append(tickets, join(n, fmt.Sprint("line", i), 1))
		}
		n.down(n.subscription)
		pending := func() (count int) {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, ticket := range tickets {
				if len(n.waiters.byToken[ticket.Token].wake) == 0 {
					count++
				}
			}
			return count
		}
		time.Sleep(lines * spread / 4)
		if pending() < lines/2 {
			t.Errorf("only %d of %d wait before they look", pending(), lines)
		}
		time.Sleep(lines * spread)
		if pending() > 0 {
			t.Errorf("%d do not look", pending())
		}
	})
}

// Where wake-ups are missed now and then on a connection that works, it is not made anew
// again and again.
func TestMadeAnewSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := up()
		anew := 0
		for number := range int64(600) { // seconds
			for i := range int64(2) {
				missed := join(n, "line", 2*number+i+1)
				_, stop := n.Watch(missed)
				n.Found(missed.Token)
				stop()
				n.Drop(missed.Token)
			}
			if n.stale {
				anew++
				n.down(n.subscription)
				n.up(n.subscription)
			}
			heard := join(n, "another", number+1)
			_, stop := n.Watch(heard)
			n.heard(heard.Entry)
			stop()
			n.Drop(heard.Token)
			time.Sleep(time.Second)
		}
		if anew == 0 || anew > 20 {
			t.Errorf("made anew %d times in ten minutes, want once a minute in the end", anew)
		}
	})
}

// A waiter relies on being woken only while the subscription is up (K16), and not
// after one was not told.
func TestReliable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := up()
		waiting, next := join(n, "line", 1), join(n, "line", 2)
		reliable := func(want bool, when string) {
			t.Helper()
			if got := n.Reliable(next.Token); got != want {
				t.Errorf("%s: reliable = %v", when, got)
			}
		}
		reliable(false, "not watched")
		_, stop := n.Watch(next)
		defer stop()
		_, stopWaiting := n.Watch(waiting)
		defer stopWaiting()
		reliable(true, "watched")
		n.down(n.subscription)
		reliable(false, "down")
		n.up(n.subscription)
		reliable(true, "up")
		n.Found(waiting.Token)
		reliable(true, "one was not told that may have missed it")

		told := join(n, "line", 3)
		_, stopTold := n.Watch(told)
		defer stopTold()
		n.Deliver(told.Entry)
		n.Found(told.Token)
		reliable(true, "one was told, and looked")

		missed := join(n, "line", 4)
		_, stopMissed := n.Watch(missed)
		defer stopMissed()
		n.Found(missed.Token)
		reliable(false, "one was not told")
		first := n.doubt
		n.Found(missed.Token)
		if n.doubt <= first || n.doubt > longestDoubt {
			t.Errorf("doubt of %v after one of %v", n.doubt, first)
		}
		n.heard(missed.Entry)
		reliable(true, "the subscription works")

		late := join(n, "line", 5)
		_, stopLate := n.Watch(late)
		defer stopLate()
		n.Found(late.Token)
		reliable(false, "one was not told yet")
		n.Deliver(late.Entry)
		reliable(true, "the message was late")
		if n.Reliable("another") {
			t.Error("a ticket without a waiter relies on being woken")
		}
	})
}

// A waiter is hinted once, by the latest call, and not if it owns by then, or is gone.
func TestHintAfter(t *testing.T) {
	for what, test := range map[string]struct {
		then func(n *Notifier, token, entry string)
		want time.Duration // until it is woken by a hint; 0: not at all
	}{
		"nothing":    {func(*Notifier, string, string) {}, time.Second},
		"put off":    {func(n *Notifier, token, _ string) { n.HintAfter(token, time.Second) }, 3 * time.Second / 2},
		"sooner":     {func(n *Notifier, token, _ string) { n.HintAfter(token, time.Second/4) }, 3 * time.Second / 4},
		"taken back": {func(n *Notifier, token, _ string) { n.HintAfter(token, 0) }, 0},
		"owns":       {func(n *Notifier, token, _ string) { n.Found(token) }, 0},
		"dropped":    {func(n *Notifier, token, _ string) { n.Drop(token) }, 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := New(nil, tokenOf)
				token := n.NewToken()
				n.Open(token, "line")
				entry := "1:" + token + ":1"
				n.Bind(Ticket{Token: token, Entry: entry, Line: "line", Number: 1, Owners: 1})
				wake := n.waiters.byToken[token].wake
				began := time.Now()
				n.HintAfter(token, time.Second)
				time.Sleep(time.Second / 2)
				test.then(n, token, entry)
				for range 2 {
					select {
					case got := <-wake:
						if took := time.Since(began); got != queue.WakeHint || took != test.want {
							t.Errorf("woken by %v after %v, want a hint after %v", got, took, test.want)
						}
						test.want = 0
					case <-time.After(time.Minute):
					}
				}
				if test.want != 0 {
					t.Errorf("not woken, want a hint after %v", test.want)
				}
			})
		})
	}
}
