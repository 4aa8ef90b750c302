//go:build linux

package fuzz

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// FuzzRedisKeys edits the keys of a queue while tickets are taken and given back. After
// any edits nothing panics or hangs, tickets that were left alone are served in order,
// and a queue that was put in order works and leaves no key.
//
// It needs the real server: it is about what a script does with scores and types that
// make no sense.
func FuzzRedisKeys(f *testing.F) {
	for _, code := range keyPrograms {
		f.Add([]byte(code))
	}
	redistest.NeedReal(f)
	client := redistest.Client(f)
	f.Fuzz(func(t *testing.T, code []byte) {
		k := newKeysTest(t, client)
		p := newProgram(code)
		for !p.over() {
			k.step(p)
		}
		k.finish()
	})
}

// keyPrograms are what is known to be difficult, in the words of step, edited and member.
var keyPrograms = []string{
	"",
	"\x00\x00\x00\x01\x00\x01\x01\x01\x02",     // three come and go
	"\x00\x00\x04\x01\x00",                     // seq is removed
	"\x00\x00\x04\x00\x00",                     // the line is removed
	"\x00\x03\x00\x01x\x00\x00",                // the line is a text
	"\x00\x05\x00\x00\x00\x01\x00\x0f",         // a ticket without an owner at -inf
	"\x00\x05\x01\x00\x00\x0f",                 // and at +inf
	"\x00\x05\x04\x00\x00\x0f\x01\x00",         // a dead ticket in front
	"\x03\x04\x00\x09\x05\x04\x00\x00\x11\x0f", // and a living one
	"\x03\x04\x00\x0e\x05\x04\x00\x00\x11\x0f", // one of the other kind
	"\x03\x04\x00\x0f\x05\x04\x00\x00\x11\x0f", // one whose process may be found absent
	"\x00\x05\x04\x03\x00\x11\x0f",             // one with the token of a ticket
	"\x00\x05\x00\x06\x00\x00\x01\x00",         // a member of 100000 bytes
	"\x00\x0c\x00\x00\x00\x0f",                 // a crowd
	"\x00\x03\x01\x00\x02\x00\x01\x00",         // seq is the highest number
	"\x00\x03\x01\x00\x08\x00\x04\x01\x00\x0f", // seq was ahead of the clock, and is gone
	"\x00\x03\x01\x00\x04\x00\x0f",             // seq is negative
	"\x00\x00\x06\x00\x08\x01\x01\x00",         // a ticket is removed from the line
	"\x00\x00\x04\x08\x00\x01\x01\x00",         // a lease is removed
	"\x00\x00\x0a\x00\x01\x00\x00",             // keys change places
}

// living is the entry of a ticket that a lease is planted for: that of a stranger, with
// the token of a process, which nothing listens for.
const living = "1:planted.1:1764000000000"

// keysTest is for the edits of one queue's keys.
type keysTest struct {
	candidates
	client  *redis.Client
	name    string
	crowded bool
}

func newKeysTest(t *testing.T, client *redis.Client) *keysTest {
	k := &keysTest{client: client, name: redistest.Name(t)}
	k.T = t
	k.q = redisqueue.New(client, k.name)
	k.excused = k.mayFail
	t.Cleanup(k.clear)
	return k
}

func (k *keysTest) clear() {
	if keys := redistest.Keys(k, k.client, k.name); len(keys) > 0 {
		k.client.Del(context.Background(), keys...)
	}
}

func (k *keysTest) key(rest string) string { return "{" + k.name + "}:" + rest }

func tokenOf(member string) string { return strings.Split(member, ":")[1] }

// edited chooses a key to be changed.
func (k *keysTest) edited(p *program) string {
	n := p.next() % 16
	switch {
	case n >= 8 && len(k.all) > 0:
		t := k.all[n%len(k.all)]
		t.tampered = true
		return k.key("lease:" + tokenOf(t.Member))
	case n == 0:
		k.tamperAll()
		return k.key("queue")
	case n < 4:
		return k.key("seq")
	}
	return k.key("lease:" + tokenOf(living))
}

// member chooses a member of the line to be put there or removed.
func (k *keysTest) member(p *program, score float64) string {
	n := p.next() % 16
	if n >= 8 && len(k.all) > 0 {
		t := k.all[n%len(k.all)]
		t.tampered = true
		return t.Member
	}
	number := "1"
	if score >= 1 && score < 1<<60 {
		number = fmt.Sprintf("%.0f", score)
	}
	switch n {
	case 0, 1, 2: // as a ticket
		return number + strings.TrimPrefix(living, "1")
	case 3: // with the token of a ticket
		if len(k.all) > 0 {
			return number + ":" + tokenOf(k.all[0].Member) + ":1764000000000"
		}
	case 4:
		return number + ":" + strings.Repeat("long", 100) + ":1"
	case 5:
		return "0" + number + ":" + tokenOf(living) + ":1"
	case 6:
		return strings.Repeat("x", 100_000)
	}
	return p.text()
}

func (k *keysTest) score(p *program) float64 {
	return pick(p, math.Inf(-1), math.Inf(1), 0, -1, 1, 2, 0.5, 1e300, -1e300, 1<<53-1, 1<<53, 1e15,
		float64(k.last), float64(k.last+1), float64(time.Now().Add(time.Hour).UnixMicro()), 1e-300)
}

func (k *keysTest) value(p *program) string {
	return pick(p, p.text(), "", fmt.Sprint(int64(1)<<53-1), fmt.Sprint(int64(1)<<53-2), "-5", "abc", "1e14", fmt.Sprint(int64(math.MaxInt64)),
		fmt.Sprint(time.Now().Add(time.Hour).UnixMicro()), living+" 1000 0 - 1 host ", "9007199254740993", "0", " ", strings.Repeat("9", 400),
		living+" 1000 2 - 1 host ", living+" 1000 0 abc/500 1 host ")
}

// step does one thing. That most edits fail is no matter.
func (k *keysTest) step(p *program) {
	ctx, c := k.Context(), k.client
	switch p.next() % 20 {
	case 0:
		k.register()
	case 1:
		if t := k.pick(p); t != nil {
			k.release(t)
		}
	case 2:
		k.others(p)
	case 3:
		c.Set(ctx, k.edited(p), k.value(p), 0)
	case 4:
		c.Del(ctx, k.edited(p))
	case 5:
		score := k.score(p)
		c.ZAdd(ctx, k.key("queue"), redis.Z{Score: score, Member: k.member(p, score)})
	case 6:
		c.ZRem(ctx, k.key("queue"), k.member(p, k.score(p)))
	case 7:
		c.HSet(ctx, k.edited(p), "field", p.text())
	case 8:
		c.LPush(ctx, k.edited(p), p.text())
	case 9:
		c.PExpire(ctx, k.edited(p), pick(p, time.Millisecond, time.Hour, 10*time.Millisecond))
	case 10:
		c.Rename(ctx, k.edited(p), k.edited(p))
	case 11:
		c.Persist(ctx, k.edited(p))
	case 12: // more than a script looks through
		if p.next()%4 == 0 {
			k.crowd(k.score(p))
		}
	case 13:
		c.Append(ctx, k.edited(p), p.text())
	case 14:
		c.ZAdd(ctx, k.edited(p), redis.Z{Score: k.score(p), Member: p.text()})
	case 15:
		k.wantOrder()
	case 16:
		if t := k.pick(p); t != nil {
			_, _ = queue.Position(ctx, k.q, t.Ticket)
			_ = queue.Refresh(ctx, k.q, t.Ticket)
		}
	case 17:
		k.wantWait(lock.New(k.q))
	default:
		c.Publish(ctx, "fifolock:"+p.text(), k.value(p))
	}
}

func (k *keysTest) crowd(score float64) {
	k.crowded = true
	var members []redis.Z
	for i := range 1100 {
		members = append(members, redis.Z{Score: score, Member: fmt.Sprint("crowd", i)})
	}
	k.client.ZAdd(k.Context(), k.key("queue"), members...)
}

// mayFail reports whether an error is one of a line that is crowded, or has a
// key that is not of its type: those say so, and do nothing.
func (k *keysTest) mayFail(err error) bool {
	if k.crowded && strings.Contains(err.Error(), "1000 entries") {
		return true
	}
	if !strings.Contains(err.Error(), "WRONGTYPE") {
		return false
	}
	for _, key := range redistest.Keys(k, k.client, k.name) {
		want := "string"
		if key == k.key("queue") {
			want = "zset"
		}
		if k.client.Type(k.Context(), key).Val() != want {
			return true
		}
	}
	return false
}

// finish lets all leave, and checks what is left.
func (k *keysTest) finish() {
	m := lock.New(redisqueue.New(k.client, k.name))
	k.wantOrder()
	k.wantWait(m)
	k.releaseTampered()
	// A lease that was planted keeps a ticket alive, as it has to.
	k.dropLeases()
	k.wantFirst()
	for _, t := range k.untouched() {
		k.release(t)
	}
	k.dropLeases()
	k.wantLock(m)
	k.clear()
	if !k.wantLock(m) {
		k.Error("Lock fails although the keys were removed")
	}
	if keys := redistest.Keys(k, k.client, k.name); len(keys) > 0 {
		k.Errorf("%q are left", slices.Sorted(slices.Values(keys)))
	}
}

// dropLeases removes all leases but those of untouched tickets.
func (k *keysTest) dropLeases() {
	kept := make(map[string]bool)
	for _, t := range k.untouched() {
		kept[k.key("lease:"+tokenOf(t.Member))] = true
	}
	for _, key := range redistest.Keys(k, k.client, k.name) {
		if strings.HasPrefix(key, k.key("lease:")) && !kept[key] {
			k.client.Del(k.Context(), key)
		}
	}
}
