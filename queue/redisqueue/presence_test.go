package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
)

// deleteAfter deletes the keys of a line when the test is over.
func deleteAfter(t *testing.T, client *redis.Client, name string) {
	t.Cleanup(func() { client.Del(context.Background(), redistest.Keys(t, client, name)...) })
}

// plantAbsent puts tickets in line, each of a process of its own. Their leases say that
// this server has seen these processes, which are not there. It returns the processes.
func plantAbsent(t *testing.T, client *redis.Client, name string, count int) (processes []string) {
	t.Helper()
	deleteAfter(t, client, name)
	info, err := client.InfoMap(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		process := fmt.Sprintf("gone%d", i)
		entry := fmt.Sprintf("%d:%s.x:1", i+1, process)
		value := entry + leaseValue{time.Hour, 0, info["Server"]["run_id"] + "/500", 1, "host", ""}.text()
		client.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: float64(i + 1), Member: entry})
		if err := client.Set(t.Context(), "{"+name+"}:lease:"+process+".x", value, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, process)
	}
	return processes
}

// An answer to any script is taken for a sign of life. So every script clears the mark of
// its process, however it goes.
func TestEveryScriptClearsTheMark(t *testing.T) {
	testenv.Long(t)
	client := redistest.Client(t)
	scripts := map[string]struct {
		script func() *script
		ticket bool
		args   []any
	}{
		"register":      {registerScript, true, []any{"n.new", 60000, 120000, " 60000 0 - 1 host "}},
		"try_register":  {tryRegisterScript, true, []any{"n.new", 60000, 120000, " 60000 0 - 1 host "}},
		"position":      {positionScript, true, []any{"7:n.new:1"}},
		"refresh":       {refreshScript, true, []any{"7:n.new:1", "-"}},
		"release":       {releaseScript, true, []any{"7:n.new:1", 0, 1}},
		"cleanup_stale": {cleanupStaleScript, false, nil},
		"is_empty":      {isEmptyScript, false, []any{0}},
		"maybe_cleanup": {isEmptyScript, false, []any{1}},
		"members":       {membersScript, false, []any{"1", 0, 100}},
		"repair":        {repairScript, false, []any{0}},
	}
	lines := map[string]func(name string){
		"empty": func(string) {},
		"living": func(name string) {
			if _, err := New(client, name).Register(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"shared": func(name string) {
			if _, err := New(client, name).Share(2).Register(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"crowded": func(name string) {
			for i := range 1500 {
				client.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: 1, Member: fmt.Sprint("foreign", i)})
			}
		},
		"dead": func(name string) {
			for i := range 1500 {
				client.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: float64(i + 1), Member: fmt.Sprintf("%d:dead.x:1", i+1)})
			}
		},
	}
	for what, prepare := range lines {
		for name, c := range scripts {
			t.Run(what+"/"+name, func(t *testing.T) {
				q := New(client, redistest.Name(t), WithCrashDetection(time.Second))
				deleteAfter(t, client, q.name)
				prepare(q.name)
				key := q.prefix + "absent"
				client.HSet(t.Context(), key, "n", 1)
				keys := q.keys()
				if c.ticket {
					keys = q.ticketKeys("n.new")
				}
				answer, err := q.attempt(t.Context(), q.request(c.script, "n", keys, c.args...))
				if err != nil {
					t.Fatal(err)
				}
				if client.HExists(t.Context(), key, "n").Val() {
					t.Errorf("answered %q and left the mark", answer.status)
				}
			})
		}
	}
}

// Of those that have ended together all are marked by the first look that finds the
// owner absent.
func TestMarkedTogether(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q := New(client, redistest.Name(t))
	processes := plantAbsent(t, client, q.name, 5)
	began := time.Now()
	if err := q.CleanupStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		if !client.HExists(t.Context(), q.prefix+"absent", process).Val() {
			t.Errorf("%s is not marked", process)
		}
	}
	const lasts = 2*500*time.Millisecond + time.Minute // twice the grace time and a minute
	left := client.PTTL(t.Context(), q.prefix+"absent").Val()
	if gone := time.Since(began) + 10*time.Millisecond; left > lasts || left < lasts-gone {
		t.Errorf("the marks last for %v more; want %v, of which up to %v have gone", left, lasts, gone)
	}
}

// The same where one that lives stands between them.
func TestMarkedTogetherBehindTheLiving(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q := New(client, redistest.Name(t))
	run := client.InfoMap(t.Context(), "server").Val()["Server"]["run_id"]
	plantLine(t, client, q.name, 0, run+"/1000", []string{"p", "lives", "wrong", "q"})
	subscription := client.Subscribe(t.Context(), "fifolock:lives")
	defer subscription.Close()
	if _, err := subscription.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.CleanupStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	for process, want := range map[string]bool{"p": true, "lives": false, "q": true} {
		if marked := client.HExists(t.Context(), q.prefix+"absent", process).Val(); marked != want {
			t.Errorf("%s is marked: %v, want %v", process, marked, want)
		}
	}
}

// A process that is marked for longer than its grace time is evicted by the run of the
// server that has seen it, and by no other: that one has not heard of it yet.
func TestMarkOfAnotherRun(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	for _, another := range []bool{false, true} {
		q := New(client, redistest.Name(t))
		process := plantAbsent(t, client, q.name, 1)[0]
		client.HSet(t.Context(), q.prefix+"absent", process, time.Now().Add(-time.Minute).UnixMilli())
		if another {
			entry := "1:" + process + ".x:1"
			value := entry + leaseValue{time.Hour, 0, "abc/500", 1, "host", ""}.text()
			client.Set(t.Context(), q.prefix+"lease:"+process+".x", value, time.Hour)
		}
		if err := q.CleanupStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		if empty, err := q.IsEmpty(t.Context()); err != nil || empty == another {
			t.Errorf("seen by another run: %v; it is empty: %v, %v", another, empty, err)
		}
	}
}

// A request that is executed again may find dead the one that its ticket stood behind the
// first time. It grants then, and so it evicts: otherwise that one could show itself, and
// both would own.
func TestRepeatedRequestBehindAMarkedProcess(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q := New(client, redistest.Name(t))
	process := plantAbsent(t, client, q.name, 1)[0]
	dead := "1:" + process + ".x:1"
	r := q.request(registerScript, "n", q.ticketKeys("n.new"), "n.new", 60000, 120000, " 60000 0 - 1 host ")
	first, err := q.attempt(t.Context(), r)
	if err != nil || at[int64](first, 1) != 1 {
		t.Fatalf("%+v, %v; want one ahead", first, err)
	}
	client.HSet(t.Context(), q.prefix+"absent", process, time.Now().Add(-time.Minute).UnixMilli())
	again, err := q.attempt(t.Context(), r)
	if err != nil || at[string](again, 0) != at[string](first, 0) || at[int64](again, 1) != 0 {
		t.Fatalf("%+v, %v; want the same ticket, which owns", again, err)
	}
	if len(again.evicted) != 1 || again.evicted[0].Member != dead {
		t.Errorf("evicted %v; want %s", again.evicted, dead)
	}
	if client.ZScore(t.Context(), q.queue, dead).Err() != redis.Nil || client.Exists(t.Context(), q.prefix+"lease:"+process+".x").Val() != 0 {
		t.Error("two own: the one that was found dead is still there")
	}
	refresh := q.request(refreshScript, process, q.ticketKeys(process+".x"), dead, "-")
	if answer, err := q.attempt(t.Context(), refresh); err != nil || answer.status != statusGone {
		t.Errorf("it is told %q, %v; want that it is gone", answer.status, err)
	}
}

// Members says of each ticket whether the end of its process is noticed, and since when
// it is gone.
func TestMembersSayWhetherTheEndIsNoticed(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q := New(client, redistest.Name(t))
	processes := plantAbsent(t, client, q.name, 3)
	marked := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	client.HSet(t.Context(), q.prefix+"absent", processes[1], marked.UnixMilli(), processes[2], time.Now().Add(time.Hour).UnixMilli())
	for i, presence := range []string{"-", "?", "abc/500"} {
		entry := fmt.Sprintf("%d:other%d.x:1", 10+i, i)
		value := entry + leaseValue{time.Hour, 0, presence, 1, "host", ""}.text()
		client.ZAdd(t.Context(), "{"+q.name+"}:queue", redis.Z{Score: float64(10 + i), Member: entry})
		client.Set(t.Context(), "{"+q.name+"}:lease:"+tokenOf(entry), value, time.Hour)
	}
	members, err := q.Members(t.Context())
	if err != nil || len(members) != 6 {
		t.Fatalf("%d members (%v), want 6", len(members), err)
	}
	for i, want := range []struct {
		what         string
		noticed      time.Duration
		unseen, dead bool
	}{
		{"just found gone", 500 * time.Millisecond, false, false},
		{"gone for a minute", 500 * time.Millisecond, false, true},
		{"marked ahead of the clock", 500 * time.Millisecond, false, false},
		{"without crash detection", 0, false, false},
		{"not seen yet", 0, true, false},
		{"seen by another server", 0, true, false},
	} {
		m := members[i]
		if m.CrashDetection != want.noticed || m.Unseen != want.unseen || m.Dead != want.dead || m.Gone.IsZero() != (want.noticed == 0) {
			t.Errorf("%s: noticed after %v, unseen %v, dead %v, gone since %v", want.what, m.CrashDetection, m.Unseen, m.Dead, m.Gone)
		}
	}
	if !members[1].Gone.Equal(marked) {
		t.Errorf("gone since %v, want %v", members[1].Gone, marked)
	}
}

// The first in line looks four times in the grace time, while the end of the one in front
// can be noticed, and so often that no more than half a second is lost before it is.
func TestLooksWithinTheGraceTime(t *testing.T) {
	redistest.NeedReal(t)
	for grace, want := range map[time.Duration]time.Duration{
		time.Second:      250 * time.Millisecond,
		10 * time.Second: 400 * time.Millisecond,
	} {
		t.Run(grace.String(), func(t *testing.T) { testLooksWithin(t, grace, want) })
	}
}

func testLooksWithin(t *testing.T, grace, want time.Duration) {
	name := redistest.Name(t)
	owner := New(redistest.Client(t), name, WithCrashDetection(grace))
	owning, err := owner.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := New(redistest.Client(t), name)
	waiting, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, stop, err := q.Watch(t.Context(), waiting)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for noticed := false; ; {
		members, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		place, err := q.Position(t.Context(), waiting)
		if err != nil {
			t.Fatal(err)
		}
		if noticed && place.Recheck > 0 { // the subscription is up
			if place.Recheck > want {
				t.Errorf("it looks again after %v, want %v", place.Recheck, want)
			}
			break
		}
		noticed = members[0].CrashDetection > 0
	}
	for _, ticket := range []queue.Ticket{owning, waiting} {
		if err := q.Release(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
}

// plantLine puts tickets of a view in a line, one of each process; it returns the last one's entry.
// The presence of each is that of another run of the server, so that it is not examined;
// "foreign" is no ticket, and the lease of "wrong" is no string.
func plantLine(t *testing.T, client *redis.Client, name string, owners int, presence string, processes []string) (last string) {
	t.Helper()
	deleteAfter(t, client, name)
	_, err := client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i, process := range processes {
			if process == "foreign" {
				pipe.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: float64(i + 1), Member: fmt.Sprint("foreign", i)})
				continue
			}
			token := fmt.Sprintf("%s.%d", process, i)
			last = fmt.Sprintf("%d:%s:1", i+1, token)
			pipe.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: float64(i + 1), Member: last})
			if process == "wrong" {
				pipe.RPush(t.Context(), "{"+name+"}:lease:"+token, "type")
				continue
			}
			pipe.Set(t.Context(), "{"+name+"}:lease:"+token, last+leaseValue{time.Hour, owners, presence, 1, "host", ""}.text(), time.Hour)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// Of those that wait, one more looks as often as the first in line does: the first behind
// those of one other process, which may leave together, so that none of them looks. All
// others look by their place.
func TestOneMoreLooksWithinTheGraceTime(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	detecting, plain := New(client, "x", WithCrashDetection(time.Second)), New(client, "x")
	for what, c := range map[string]struct {
		q        *Queue
		owners   int
		presence string
		line     string // with one word for each ticket; the last is the one that looks
		want     int64
	}{
		"first in line":                      {detecting, 0, "abc/1000", "p n", 0},
		"behind the owner's":                 {detecting, 0, "abc/1000", "p p p n", 250},
		"behind those of one that waits":     {detecting, 0, "abc/1000", "o p p n", 250},
		"behind many":                        {detecting, 0, "abc/1000", strings.Repeat("p ", 950) + "n", 250},
		"behind more than are examined":      {detecting, 0, "abc/1000", strings.Repeat("p ", 1050) + "n", 0},
		"behind those of two":                {detecting, 0, "abc/1000", "p p o n", 0},
		"behind those of two, one between":   {detecting, 0, "abc/1000", "p p o p n", 0},
		"behind one of its own":              {detecting, 0, "abc/1000", "p p n n", 0},
		"its own owns":                       {detecting, 0, "abc/1000", "n p p n", 250},
		"all its own":                        {detecting, 0, "abc/1000", "n n n n", 0},
		"with others between":                {detecting, 0, "abc/1000", "p foreign p foreign foreign n", 250},
		"of two owners":                      {detecting, 2, "abc/1000", "o r p p n", 250},
		"of two owners, the first in line":   {detecting, 2, "abc/1000", "o p n", 0},
		"behind a lease of the wrong type":   {detecting, 0, "abc/1000", "p p wrong n", 0},
		"not noticed":                        {detecting, 0, "-", "p p p n", 0},
		"not seen":                           {detecting, 0, "?", "p p p n", 0},
		"without crash detection":            {plain, 0, "abc/1000", "p p p n", 250},
		"without crash detection, all of it": {plain, 0, "-", "p p p n", 0},
	} {
		t.Run(what, func(t *testing.T) {
			name := redistest.Name(t)
			last := plantLine(t, client, name, c.owners, c.presence, strings.Fields(c.line))
			keys := []string{"{" + name + "}:queue", "{" + name + "}:seq", "{" + name + "}:lease:" + tokenOf(last)}
			v := &view{storage: c.q.storage, owners: c.owners}
			answer, err := c.q.attempt(t.Context(), v.request(positionScript, "n", keys, last))
			if err != nil || answer.status != statusOK || at[int64](answer, 0) < 1 {
				t.Fatalf("%+v, %v", answer, err)
			}
			if got := at[int64](answer, 2); got != c.want {
				t.Errorf("looks again after %d ms, want %d; 0 is by its place", got, c.want)
			}
		})
	}
}

// While the process in front seems to have ended, it looks when that is decided.
func TestOneMoreLooksWhenTheGraceTimeIsOver(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q := New(client, redistest.Name(t), WithCrashDetection(time.Second))
	run := client.InfoMap(t.Context(), "server").Val()["Server"]["run_id"]
	last := plantLine(t, client, q.name, 0, run+"/3600000", []string{"p", "p", "p", "n"})
	client.HSet(t.Context(), q.prefix+"absent", "p", time.Now().Add(time.Minute-time.Hour).UnixMilli())
	answer, err := q.attempt(t.Context(), q.request(positionScript, "n", q.ticketKeys(tokenOf(last)), last))
	if err != nil || at[int64](answer, 2) <= 0 || at[int64](answer, 2) > 60000 {
		t.Errorf("%+v, %v; want that it looks again within a minute", answer, err)
	}
}

// A look at a ticket of a process that has ended evicts it, and tells the next.
func TestLookAtATicketThatIsEvicted(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q := New(client, redistest.Name(t), WithCrashDetection(time.Second))
	run := client.InfoMap(t.Context(), "server").Val()["Server"]["run_id"]
	next := plantLine(t, client, q.name, 0, run+"/1000", []string{"p", "n"})
	client.HSet(t.Context(), q.prefix+"absent", "p", time.Now().Add(-time.Hour).UnixMilli())
	const dead = "1:p.0:1"
	answer, err := q.attempt(t.Context(), q.request(positionScript, "n", q.ticketKeys(tokenOf(dead)), dead))
	if err != nil || answer.status != statusGone || !slices.Equal(answer.messages, []string{next}) {
		t.Errorf("%+v, %v; want that it is gone, and a message for %s", answer, err, next)
	}
}

// awaitNoticed waits until the server says of so many in line that it notices their death.
func awaitNoticed(t *testing.T, q queue.Lister, want int) {
	t.Helper()
	for noticed := 0; noticed != want; {
		members, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		noticed = 0
		for _, m := range members {
			if m.CrashDetection > 0 {
				noticed++
			}
		}
	}
}

// wantHints wants n hints, each after a look.
func wantHints(t *testing.T, q queue.Positioner, waiting queue.Ticket, wake <-chan queue.Wake, n int) {
	t.Helper()
	for range n {
		if got := <-wake; got != queue.WakeHint {
			t.Errorf("woken by %v, want a hint", got)
		}
		if _, err := q.Position(t.Context(), waiting); err != nil {
			t.Fatal(err)
		}
	}
}

// The one behind those of another process looks soon after it was registered, and soon
// after each look.
func TestHintedWithinTheGraceTime(t *testing.T) {
	redistest.NeedReal(t)
	name := redistest.Name(t)
	other := New(redistest.Client(t), name, WithCrashDetection(time.Second))
	var tickets []queue.Ticket
	for range 4 {
		ticket, err := other.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	q := New(redistest.Client(t), name, WithCrashDetection(time.Second))
	awaitNoticed(t, q, 4)
	// The second is registered when the connection is up, so that nothing else hints.
	for range 2 {
		waiting, err := q.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wake, stop, err := q.Watch(t.Context(), waiting)
		if err != nil {
			t.Fatal(err)
		}
		wantHints(t, q, waiting, wake, 3)
		stop()
		if err := q.Release(t.Context(), waiting); err != nil {
			t.Error(err)
		}
	}
	for _, ticket := range tickets {
		if err := other.Release(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
}

// The one behind the tickets of one process is hinted also if crash detection is not its
// own, nor that of the first owner.
func TestHintedBehindAnOwnerWithoutIt(t *testing.T) {
	redistest.NeedReal(t)
	name := redistest.Name(t)
	view := func(options ...Option) *view {
		return New(redistest.Client(t), name, options...).Share(2).(*view)
	}
	plain, other, last := view(), view(WithCrashDetection(time.Second)), view()
	first, err := plain.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := other.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	awaitNoticed(t, last, 3)
	waiting, err := last.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wake, stop, err := last.Watch(t.Context(), waiting)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	wantHints(t, last, waiting, wake, 4) // that there is a connection may be one
	if err := plain.Release(t.Context(), first); err != nil {
		t.Error(err)
	}
}

// The marks of the dead do not gather for ever in a line that is never empty.
func TestMarksAreBounded(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q := New(client, redistest.Name(t))
	processes := plantAbsent(t, client, q.name, 3)
	old := make(map[string]any)
	for i := range 10000 {
		old[fmt.Sprint("old", i)] = 1
	}
	key := q.prefix + "absent"
	if err := client.HSet(t.Context(), key, old).Err(); err != nil {
		t.Fatal(err)
	}
	if err := q.CleanupStale(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := client.HLen(t.Context(), key).Val(); left != int64(len(processes)) {
		t.Errorf("%d marks are there, want those of the %d that were found absent", left, len(processes))
	}
}

// Only the queue through which a ticket was taken says that its process was seen: another
// one, maybe of another process, renews its lease and no more.
func TestRefreshOfAnothersTicketLeavesItsPresence(t *testing.T) {
	redistest.NeedReal(t)
	name := redistest.Name(t)
	plain := New(redistest.Client(t), name)
	theirs, err := plain.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := New(redistest.Client(t), name, WithCrashDetection(time.Second))
	ours, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for detected := false; !detected; {
		members, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		detected = members[1].CrashDetection > 0
	}
	if err := q.Refresh(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	members, err := q.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := members[0].CrashDetection; got != 0 {
		t.Errorf("the ticket of a process without crash detection is evicted after %v", got)
	}
	for _, ticket := range []queue.Ticket{theirs, ours} {
		if err := q.Release(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
}

// A heartbeat that was sent again may be late: it has the presence of the server before,
// and must not take back that of this one.
func TestLateRefreshLeavesThePresence(t *testing.T) {
	redistest.NeedReal(t)
	client, name := redistest.Client(t), redistest.Name(t)
	plantAbsent(t, client, name, 1)
	q := New(client, name)
	key := "{" + name + "}:lease:gone0.x"
	before := client.Get(t.Context(), key).Val()
	refresh := q.request(refreshScript, "n", q.ticketKeys("gone0.x"), "1:gone0.x:1", "abc/500")
	if _, _, err := q.send(t.Context(), brief, refresh); err != nil {
		t.Fatal(err)
	}
	if after := client.Get(t.Context(), key).Val(); after != before {
		t.Errorf("the lease is %q, want %q as before", after, before)
	}
}

// A ticket that is released when the ctx is over already stays in line until its lease is
// over, but nothing of this process goes on to show that its owner lives.
func TestReleaseAfterTheEndLeavesThePresence(t *testing.T) {
	redistest.NeedReal(t)
	q := New(redistest.Client(t), redistest.Name(t), WithCrashDetection(time.Second))
	for verb, release := range map[string]func(context.Context, queue.Ticket) error{"Release": q.Release, "Remove": q.Remove} {
		ticket, err := q.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := release(ended, ticket); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want context.Canceled", verb, err)
		}
		if has, waiters := q.presence.Has(tokenOf(ticket.Member)), Waiters(q); has || waiters > 0 {
			t.Errorf("after %s: shown: %v; %d waiters; want neither", verb, has, waiters)
		}
		if err := q.Release(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
}

// One that another queue of the client finds gone is told as lost: that one's caller is not
// its owner.
func TestFoundGoneThroughAnotherQueue(t *testing.T) {
	redistest.NeedReal(t)
	client, name := redistest.Client(t), redistest.Name(t)
	q, other := New(client, name, WithCrashDetection(time.Second)), New(client, name)
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
	if _, err := other.IsHead(t.Context(), ticket); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("IsHead: %v, want ErrNotQueued", err)
	}
	select {
	case <-ticket.Lost:
	default:
		t.Error("it is not told as lost")
	}
}

// What a queue of another line says of a ticket is nothing to its own.
func TestTicketOfAnotherLine(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	q, other := New(client, redistest.Name(t), WithCrashDetection(time.Second)), New(client, redistest.Name(t), WithCrashDetection(time.Second))
	owner, err := q.Register(t.Context())
	next, failed := q.Register(t.Context())
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	wake, stop, err := q.Watch(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for verb, ask := range map[string]func() error{
		"Refresh": func() error { return other.Refresh(t.Context(), owner) },
		"Release": func() error { return other.Release(t.Context(), owner) },
	} {
		if err := ask(); !errors.Is(err, queue.ErrNotQueued) {
			t.Errorf("%s: %v, want ErrNotQueued", verb, err)
		}
	}
	select {
	case w := <-wake:
		t.Errorf("the next one is woken: %v", w)
	case <-owner.Lost:
		t.Error("it is told as lost")
	default:
	}
	if !q.presence.Has(tokenOf(owner.Member)) {
		t.Error("it is not shown any more")
	}
	for _, ticket := range []queue.Ticket{owner, next} {
		if err := q.Release(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
}

// A release that was executed without an answer is one: nothing is told as lost.
func TestLostReplyOfAReleaseThroughAnotherQueue(t *testing.T) {
	redistest.NeedReal(t)
	proxy, name := redistest.NewProxy(t, redistest.Addr(t)), redistest.Name(t)
	client := redistest.ClientOf(t, proxy.Addr, func(o *redis.Options) { o.ReadTimeout = time.Second })
	q, other := New(client, name, WithCrashDetection(time.Second)), New(client, name)
	var ticket queue.Ticket
	for loaded := range 2 { // the first one loads the scripts
		var err error
		if ticket, err = q.Register(t.Context()); err == nil && loaded == 0 {
			err = other.Release(t.Context(), ticket)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	proxy.LoseReplies(ReleaseHash, 1)
	if err := other.Release(t.Context(), ticket); err != nil {
		t.Error(err)
	}
	select {
	case <-ticket.Lost:
		t.Error("it is told as lost")
	default:
	}
}

// So of one that is released through another queue of the client.
func TestReleaseThroughAnotherQueueLeavesThePresence(t *testing.T) {
	redistest.NeedReal(t)
	client, name := redistest.Client(t), redistest.Name(t)
	q := New(client, name, WithCrashDetection(time.Second))
	for kind, other := range map[string]*Queue{"with crash detection": New(client, name, WithCrashDetection(time.Second)), "without": New(client, name)} {
		ticket, err := q.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Release(t.Context(), ticket); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if q.presence.Has(tokenOf(ticket.Member)) {
			t.Errorf("%s: it is shown as before", kind)
		}
	}
}
