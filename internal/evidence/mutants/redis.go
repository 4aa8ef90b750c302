package mutants

const (
	redisScripts = "queue/redisqueue/scripts/"
	redisCases   = "-run ^Test(R|K)[0-9] ./internal/faulttest/network ./internal/faulttest/server"
)

var (
	crashTests    = tests{"./internal/faulttest/crash"}
	presenceTests = tests{"./queue/redisqueue/internal/notifier", "-run Mark|Refresh|GraceTime|Noticed ./queue/redisqueue"}
)

var ofRedis = list{tests{"./queue/redisqueue", "./queue/redisqueue/internal/...", "-run Redis|Evicted ./lock", redisCases}, []Mutant{
	// The number, and the ticket.
	{
		name: "redis: a token may have two tickets",
		in:   redisScripts + "join.lua join",
		old:  "if not call('SET', KEYS[3], member .. ARGV[6], 'NX', 'PX', ARGV[4]) then",
		new:  "if not call('SET', KEYS[3], member .. ARGV[6], 'PX', ARGV[4]) then",
	},
	{
		name: "redis: the first ticket of a queue may be a second one of its token",
		in:   redisScripts + "register_fast.lua",
		old:  "'NX', 'PX'",
		new:  "'PX'",
	},
	{
		name: "redis: a ticket that joins others may be a second one of its token",
		in:   redisScripts + "register_behind.lua",
		old:  "'NX', 'PX'",
		new:  "'PX'",
	},
	{
		name: "redis: the number of a ticket that joins others is not seeded from the clock",
		in:   redisScripts + "register_behind.lua",
		old:  "math.max(given + 1, highest + 1, clock)",
		new:  "math.max(given + 1, highest + 1)",
	},
	{
		name: "redis: a ticket that joins others may get a number as low as theirs",
		in:   redisScripts + "register_behind.lua",
		old:  "math.max(given + 1, highest + 1, clock)",
		new:  "math.max(given + 1, clock)",
	},
	{
		name: "redis: a ticket that joins others may get a number that was given",
		in:   redisScripts + "register_behind.lua",
		old:  "math.max(given + 1, highest + 1, clock)",
		new:  "math.max(highest + 1, clock)",
	},
	{
		name: "redis: a ticket that joins others does not ask whether the first is alive",
		in:   redisScripts + "register_behind.lua",
		old:  "value and string.match(value, '^(%S+) %d+ 0 %- ') == first[1]",
		new:  "(value or true)",
	},
	{
		name: "redis: a ticket that joins others believes the score of the first",
		in:   redisScripts + "register_behind.lua",
		old:  "lowest and lowest == tonumber(first[2])",
		new:  "lowest",
	},
	{
		name: "redis: a ticket that joins others believes the score of the last",
		in:   redisScripts + "register_behind.lua",
		old:  "highest and highest == tonumber(last[2])",
		new:  "highest",
	},
	{
		name: "redis: numbers are not seeded from the clock",
		in:   redisScripts + "join.lua join",
		old:  "math.max(given() + 1, last + 1, clock)",
		new:  "math.max(given() + 1, last + 1)",
	},
	{
		name: "redis: the tickets in line do not count for the next number",
		in:   redisScripts + "join.lua join",
		old:  "math.max(given() + 1, last + 1, clock)",
		new:  "math.max(given() + 1, clock)",
	},
	{
		name: "redis: the last number given does not count for the next",
		in:   redisScripts + "join.lua join",
		old:  "math.max(given() + 1, last + 1, clock)",
		new:  "math.max(last + 1, clock)",
	},
	{
		name: "redis: a score that is not the number is believed",
		in:   redisScripts + "lib.lua parse",
		old:  "number == tonumber(score)",
		new:  "tonumber(score)",
	},
	{
		name: "redis: the keys of a ticket last for ever after a crash",
		in:   redisScripts + "join.lua join",
		old:  "lasting(KEYS[2], seq_left, lasts + early(number, clock))",
		new:  "redis.call('PERSIST', KEYS[2])",
	},
	{
		name: "redis: a shorter lease shortens what the queue's keys last",
		in:   redisScripts + "lib.lua lasting",
		old:  "if left < milliseconds * 3 / 4 then",
		new:  "if true then",
	},
	{
		name: "redis: a seq that is ahead of the clock is removed",
		in:   redisScripts + "lib.lua forget",
		old:  "if number < clock then",
		new:  "if true then",
	},
	{
		name: "redis: the last release forgets a seq that is ahead of the clock",
		in:   redisScripts + "release_fast.lua",
		old:  "if given and given < time[1] * 1000000 + time[2] then",
		new:  "if given and time then",
	},
	{
		name: "redis: two from one snapshot draw the same token",
		in:   "queue/redisqueue/internal/notifier Notifier.NewToken",
		old:  "n.id + \".\" + rand.Text()",
		new:  "n.id + \".\" + strings.Repeat(\"x\", len(rand.Text()))",
	},

	// Who is alive.
	{
		name: "redis: eviction by age",
		in:   redisScripts + "lib.lua survey",
		old:  "local value = lease(key, member)",
		new:  "local value = call('TIME')[1] - string.match(member, '(%d+)$') / 1000 < 0.3 and lease(key, member)",
	},
	{
		name: "redis: nothing is ever evicted",
		in:   redisScripts + "lib.lua survey",
		old:  "local value = lease(key, member)",
		new:  "local value = lease(key, member) or member .. ' 1000 0 1 h '",
	},
	{
		name: "redis: the dead are found and stay",
		in:   redisScripts + "lib.lua evict",
		old:  "",
		new:  "  if true then return end\n",
	},
	{
		name: "redis: the dead are removed only in front",
		in:   redisScripts + "lib.lua survey",
		old:  "if not value then",
		new:  "if not value and line.living == 0 then",
	},
	{
		name: "redis: a lease keeps all with its token alive",
		in:   redisScripts + "lib.lua lease",
		old:  "string.sub(value, 1, #member + 1) == member .. ' '",
		new:  "value ~= ''",
	},
	{
		name: "redis: a lease that is elsewhere is a sign of death",
		in:   redisScripts + "lib.lua lease",
		old:  "call('EXISTS', KEYS[1], key)",
		new:  "",
	},
	{
		name: "redis: a heartbeat leaves the dead in front of it",
		in:   redisScripts + "refresh.lua",
		old:  "if line then -- a",
		new:  "if false then -- a",
	},
	{
		name: "redis: a heartbeat brings a ticket back",
		in:   redisScripts + "refresh.lua",
		old:  "local alive = value and queued(ARGV[3])",
		new: `local alive = true
if not queued(ARGV[3]) then
  call('ZADD', KEYS[1], string.match(ARGV[3], '^%d+'), ARGV[3])
  value = ARGV[3] .. ' 1000 0 1 h '
  call('SET', KEYS[3], value, 'PX', 1000)
end`,
	},
	{
		name: "redis: a heartbeat has no end",
		in:   redisScripts + "refresh.lua",
		old:  "call('PEXPIRE', KEYS[3], length)",
		new:  "call('PERSIST', KEYS[3])",
	},
	{
		name: "redis: a heartbeat is believed on a replica",
		in:   redisScripts + "refresh.lua",
		old:  "primary()",
		new:  "",
	},
	{
		name: "redis: a look is believed on a replica",
		in:   redisScripts + "position.lua",
		old:  "primary()",
		new:  "",
	},
	{
		name: "redis: a try that was executed before is believed on a replica",
		in:   redisScripts + "try_register.lua",
		old:  "if line.living >= OWNERS then primary()",
		new:  "if line.living >= OWNERS then",
	},
	{
		name: "redis: a clock that is set back keeps the dead in line",
		in:   redisScripts + "lib.lua believed",
		old:  "left > length or left == -1",
		new:  "left == -1",
	},
	{
		name: "redis: a lease without an end is believed",
		in:   redisScripts + "lib.lua believed",
		old:  "left > length or left == -1",
		new:  "left > length",
	},
	{
		name: "redis: the repair of leases stops after the first part",
		in:   redisScripts + "repair.lua",
		old:  "#entries < 2 * LIMIT and -1 or from + LIMIT",
		new:  "-1",
	},
	{
		name: "redis: who is alive is believed for ten times as long",
		in:   redisScripts + "lib.lua believed",
		old:  "return math.max(0, math.min(",
		new:  "return 10 * math.max(0, math.min(",
	},

	// Leaving.
	{
		name: "redis: the keys are removed while there are others in line",
		in:   redisScripts + "release.lua",
		old:  "line.living == 0 and not line.more",
		new:  "line.living < 2",
	},
	{
		name: "redis: the fast way removes a line of two",
		in:   redisScripts + "release_fast.lua",
		old:  "entries[1] == ARGV[3] and not entries[3]",
		new:  "entries[1] == ARGV[3]",
	},
	{
		name: "redis: the next is told though its owner is gone",
		in:   redisScripts + "release_next.lua",
		old:  "and values[2] and string.match(values[2], '^(%S+) %d+ 0 %- ') == next",
		new:  "",
	},
	{
		name: "redis: a ticket that leaves believes the score of the next",
		in:   redisScripts + "release_next.lua",
		old:  "and number == tonumber(entries[4])",
		new:  "",
	},
	{
		name: "redis: a ticket whose score is not its number hands on",
		in:   redisScripts + "release_next.lua",
		old:  "lowest == tonumber(entries[2])",
		new:  "lowest",
	},
	{
		name: "redis: a message for another process is kept",
		in:   redisScripts + "release_next.lua",
		old:  "if to == ARGV[2] then",
		new:  "if to then",
	},
	{
		name: "redis: leaving takes the lease of another entry along",
		in:   redisScripts + "release.lua",
		old:  "elseif named == entry then",
		new:  "else",
	},
	{
		name: "redis: a registration that was given up may still arrive",
		in:   redisScripts + "release.lua",
		old:  "redis.pcall('SET', KEYS[3], '', 'PX', ARGV[4])",
		new:  "",
	},
	{
		name: "redis: a mark is left only where there was a ticket",
		in:   redisScripts + "release.lua",
		old:  "if mark then",
		new:  "if mark and not gone then",
	},
	{
		name: "redis: what a late request took stays when its ticket leaves",
		in:   redisScripts + "release.lua",
		old:  "if other then call('ZREM', KEYS[1], other) end",
		new:  "",
	},
	{
		name: "redis: a request that was overtaken takes a ticket",
		in:   "queue/redisqueue operation.leave",
		old:  "o.resent.LoadAndDelete(o.token); ok",
		new:  "o.resent.LoadAndDelete(o.token); ok && false",
	},
	{
		name: "redis: a registration that failed is not taken back",
		in:   "queue/redisqueue operation.join",
		old:  "case lost > 0: o.abandon(ctx, o.lease.Milliseconds())",
		new:  "case false:",
	},
	{
		name: "redis: a release whose reply was lost is a loss",
		in:   "queue/redisqueue operation.leave",
		old:  "answer.status == statusGone && lost > 0",
		new:  "false && lost > 0",
	},
	{
		name: "redis: a release that was refused counts as sent",
		in:   "queue/redisqueue storage.sendAgain",
		old:  "if !isUnsent(err) && !isRefusal(err) {",
		new:  "if !isUnsent(err) {",
	},
	{
		name: "redis: a release gives up at the first refusal",
		in:   "queue/redisqueue patience.goesOn",
		old:  "(p.always || few && isTransient(err))",
		new:  "isTransient(err) && !isRefusal(err)",
	},
	{
		name: "redis: a registration waits for ever for a refusal that passes",
		in:   "queue/redisqueue patience.goesOn",
		old:  "isPassing(err) && since < p.passing",
		new:  "isPassing(err) && p.passing > 0",
	},
	{
		name: "redis: what the server cannot do now is not asked again",
		in:   "queue/redisqueue isFinal",
		old:  "isReply(err) && !isRefusal(err)",
		new:  "isReply(err)",
	},
	{
		name: "redis: the client repeats requests behind our back",
		in:   "queue/redisqueue command.NoRetry",
		old:  "return true",
		new:  "return false",
	},
	{
		name: "redis: the end of the client's time is that of the ctx",
		in:   "queue/redisqueue view.failed",
		old:  "case ended == nil && isContextError(err):",
		new:  "case false:",
	},
	{
		name: "redis: a closed client is asked again and again",
		in:   "queue/redisqueue isFinal",
		old:  "errors.Is(err, queue.ErrClosed)",
		new:  "false",
	},

	// Being told.
	{
		name: "redis: PUBLISH must be allowed",
		in:   redisScripts + "lib.lua tell",
		old:  "redis.pcall('PUBLISH',",
		new:  "call('PUBLISH',",
	},
	{
		name: "redis: a message is for a token",
		in:   "queue/redisqueue/internal/notifier Notifier.Deliver",
		old:  "case w.Entry == message:",
		new:  "case w.Entry != \"\":",
	},
	{
		name: "redis: a message that comes early is lost",
		in:   "queue/redisqueue/internal/notifier Notifier.Deliver",
		old:  "len(w.early) < earlyMessages",
		new:  "len(w.early) < 0",
	},
	{
		name: "redis: a message that comes early is for whatever the ticket becomes",
		in:   "queue/redisqueue/internal/notifier Notifier.Bind",
		old:  "slices.Contains(w.early, t.Entry)",
		new:  "len(w.early) > 0 && !slices.Contains(w.early, \"\")",
	},
	{
		name: "redis: what is published before the subscription is up is missed",
		in:   "queue/redisqueue/internal/notifier Notifier.Open",
		old:  "!n.listening",
		new:  "false",
	},
	{
		name: "redis: nothing looks after a reconnect",
		in:   "queue/redisqueue/internal/notifier connection.up",
		old:  "c.notifier.changedLocked()",
		new:  "",
	},
	{
		name: "redis: all look after a reconnect",
		in:   "queue/redisqueue/internal/notifier nearest",
		old:  "4",
		new:  "1 << 20",
	},
	{
		name: "redis: a subscription that is down is relied upon",
		in:   "queue/redisqueue/internal/notifier Notifier.Reliable",
		old:  "n.listening && ",
		new:  "",
	},
	{
		name: "redis: wake-ups that do not come are relied upon",
		in:   "queue/redisqueue/internal/notifier Notifier.Found",
		old:  "n.doubtUntil = time.Now().Add(n.doubt)",
		new:  "",
	},
	{
		name: "redis: a hint displaces a grant",
		in:   "queue/internal/wakeup Put",
		old:  "if w == queue.WakeHint { return // one hint is enough, and a grant is worth more }",
		new:  "",
	},
	{
		name: "redis: the head behind a full thousand of dead is not told",
		in:   redisScripts + "lib.lua survey",
		old:  "if line.more then for _ = 1, OWNERS + 1 do",
		new:  "if line.more then for _ = 1, 1 do",
	},

	// More than one owner.
	{
		name: "redis: the wrong rank is told",
		in:   redisScripts + "lib.lua survey",
		old:  "line.living < owners and passed >= owners",
		new:  "line.living < 1 and passed >= 1",
	},
	{
		name: "redis: the dead count as owners",
		in:   redisScripts + "lib.lua survey",
		old:  "return last >= OWNERS and last >= owners",
		new:  "return passed >= OWNERS and passed >= owners",
	},
	{
		name: "redis: those that own are counted among those that must leave",
		in:   redisScripts + "lib.lua ahead",
		old:  "- OWNERS + 1",
		new:  "",
	},
	{
		name: "redis: one more owns",
		in:   redisScripts + "position.lua",
		old:  "place < OWNERS",
		new:  "place <= OWNERS",
	},
	{
		name: "redis: one more registers as an owner",
		in:   redisScripts + "join.lua join",
		old:  "line.living < OWNERS",
		new:  "line.living <= OWNERS",
	},
	{
		name: "redis: the kind of a line is not asked for",
		in:   redisScripts + "join.lua other",
		old:  "if line.living > 0 then",
		new:  "if false then",
	},

	// Handing on in this process.
	{
		name: "redis: the leases of those in a hand-off are not looked at",
		in:   "queue/redisqueue/internal/notifier waiter.mayHandOn",
		old:  "return now.Before(w.Until) && now.Before(next.Until)",
		new:  "return !now.IsZero()",
	},
	{
		name: "redis: a chain is not taken back",
		in:   "queue/redisqueue/internal/notifier chain.takeBack",
		old:  "if w == nil {",
		new:  "if true || w == nil {",
	},
	{
		name: "redis: a chain is taken back only when a ticket is gone",
		in:   "queue/redisqueue/internal/notifier Leaving.Answered",
		old:  "named != \"\" && named != l.next,",
		new:  "",
	},
	{
		name: "redis: a waiter that gives up hands on what it has not got",
		in:   "queue/redisqueue/internal/notifier waiter.mayHandOn",
		old:  "next == nil || !w.Owns ||",
		new:  "next == nil ||",
	},
	{
		name: "redis: a ticket is handed on past another that is in between",
		in:   "queue/redisqueue/internal/notifier Leaving.Answered",
		old:  "n.waiters.moveUp(next, l.waiter.Front)",
		new:  "n.waiters.moveUp(next, l.waiter.Front); next.Owns = true",
	},
	{
		name: "redis: the one behind moves up though the release was not confirmed",
		in:   "queue/redisqueue/internal/notifier Leaving.Answered",
		old:  "next != nil && removed && !l.waiter.Owns",
		new:  "next != nil && !l.waiter.Owns",
	},

	{
		name: "redis: a grant that was taken back hands on",
		in:   "queue/redisqueue/internal/notifier chain.takeBack",
		old:  "w.Owns, w.granted, w.blind = false, false, true",
		new:  "w.granted, w.blind = false, true",
	},

	// Crash detection.
	{
		name:  "redis: a process is judged by a server that has not seen it",
		in:    redisScripts + "presence.lua since",
		old:   "if not here(run) then",
		new:   "if false then",
		tests: presenceTests,
	},
	{
		name:  "redis: a process is dead as soon as its connection is gone",
		in:    redisScripts + "presence.lua absent",
		old:   "math.max(0, marked + grace - now)",
		new:   "0",
		tests: crashTests,
	},
	{
		name:  "redis: no script clears the mark of its process",
		in:    redisScripts + "presence.lua present",
		old:   "if PRESENCE ~= '' then",
		new:   "if false then",
		tests: presenceTests,
	},
	{
		name:  "redis: a process whose connection has broken is not told in time",
		in:    "queue/redisqueue/internal/notifier Presence.deadline",
		old:   "p.grace - p.grace/10",
		new:   "4 * p.grace",
		tests: crashTests,
	},
	{
		name:  "redis: a silent connection is taken for alive for the whole grace time",
		in:    "queue/redisqueue/internal/notifier connection.lookAfter",
		old:   "c.partLocked(8)",
		new:   "c.partLocked(1)",
		tests: presenceTests,
	},
	{
		name:  "redis: a process that is well shows itself every half of the grace time only",
		in:    "queue/redisqueue/internal/notifier connection.lookAfter",
		old:   "c.partLocked(4)",
		new:   "c.partLocked(2)",
		tests: presenceTests,
	},
	{
		name:  "redis: a process whose connection has broken sends one sign only",
		in:    "queue/redisqueue/internal/notifier Presence.askLocked",
		old:   "p.send()",
		new:   "",
		tests: presenceTests,
	},
	{
		name:  "redis: a connection that has broken is told when another one was tried to be made",
		in:    "queue/redisqueue/internal/notifier subscription.receive",
		old:   "messages.ReceiveTimeout(ended,",
		new:   "messages.ReceiveTimeout(s.ctx,",
		tests: crashTests,
	},
	{
		name:  "redis: a ticket waits for ever until the server has seen its process",
		in:    "queue/redisqueue/internal/notifier Presence.Join",
		old:   "case <-timer.C:",
		new:   "",
		tests: presenceTests,
	},
	{
		name:  "redis: a process is absent that has a connection",
		in:    redisScripts + "presence.lua since",
		old:   "subscribers.err or subscribers[2] ~= 0",
		new:   "subscribers.err",
		tests: crashTests,
	},
	{
		name:  "redis: the first in line looks no sooner with crash detection",
		in:    redisScripts + "presence.lua watched",
		old:   "grace and math.ceil(grace / 4)",
		new:   "nil",
		tests: presenceTests,
	},
	{
		name:  "redis: a process is seen by a server that it may not ask to mark another",
		in:    redisScripts + "seen.lua",
		old:   "or refused('HSET', KEYS[1], ARGV[1], 0)",
		new:   "",
		tests: crashTests,
	},
	{
		name:  "redis: Members does not say that crash detection does not work",
		in:    "queue/redisqueue appendMembers",
		old:   "said.presence == unseen || absent < 0",
		new:   "said.presence == unseen",
		tests: presenceTests,
	},
	{
		name:  "redis: a silent connection is given up although the server may hang",
		in:    "queue/redisqueue/internal/notifier connection.silent",
		old:   "giveUp && p.sent.After(sent)",
		new:   "giveUp",
		tests: presenceTests,
	},
	{
		name:  "redis: what is said of an earlier connection counts",
		in:    "queue/redisqueue/internal/notifier connection.introduce",
		old:   " || c.upSince != upSince",
		new:   "",
		tests: presenceTests,
	},
	{
		name:  "redis: a server that could not say whether it sees a connection is not asked again",
		in:    "queue/redisqueue/internal/notifier connection.ponged",
		old:   "len(c.presences) > 0 &&",
		new:   "false &&",
		tests: presenceTests,
	},
	{
		name:  "redis: the other tickets of a process that was evicted are not asked about",
		in:    "queue/redisqueue/internal/notifier Presence.Gone",
		old:   "p.sendLocked(p.firstLocked())",
		new:   "",
		tests: presenceTests,
	},
	{
		name:  "redis: a registration under way is no sign of life",
		in:    "queue/redisqueue/internal/notifier Presence.deadline",
		old:   "p.since.After(last)",
		new:   "false",
		tests: presenceTests,
	},
	{
		name:  "redis: a ping clears a mark",
		in:    "queue/redisqueue/internal/notifier connection.ponged",
		old:   "p.shown",
		new:   "true",
		tests: presenceTests,
	},
	{
		name:  "redis: a process that stood still gives up unasked",
		in:    "queue/redisqueue/internal/notifier Presence.expire",
		old:   "!p.late",
		new:   "false",
		tests: presenceTests,
	},
	{
		name:  "redis: a process that stood still hands on",
		in:    "queue/redisqueue/internal/notifier waiter.mayHandOn",
		old:   "w.Presence.believedLocked(w.Token, now) && next.Presence.believedLocked(next.Token, now)",
		new:   "true",
		tests: presenceTests,
	},
	{
		name:  "redis: a refresh says that a process was seen that was not",
		in:    "queue/redisqueue storage.presenceToKeep",
		old:   "&& s.presence.Has(token)",
		new:   "",
		tests: presenceTests,
	},
	{
		name:  "redis: an answer of register leaves the mark of its process",
		in:    "queue/redisqueue/scripts/register.lua",
		old:   "primary() evict(line)",
		new:   "evict(line)",
		tests: presenceTests,
	},
	{
		name:  "redis: the marks of the dead gather for ever",
		in:    "queue/redisqueue/scripts/presence.lua mark",
		old:   "count >= 10000",
		new:   "false",
		tests: presenceTests,
	},
}}
