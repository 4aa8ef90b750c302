package mutants

var ofRedis = list{tests{"./queue/redisqueue", "-run Redis|Evicted ./lock"}, []Mutant{
	{
		name: "redis: a token may have two tickets",
		in:   "queue/redisqueue/scripts/enrol.lua enrol",
		old:  "if not call('SET', KEYS[3], member .. rest, 'NX', 'PX', milliseconds) then",
		new:  "if not call('SET', KEYS[3], member .. rest, 'PX', milliseconds) then",
	},
	{
		name: "redis: numbers are not seeded from the clock",
		in:   "queue/redisqueue/scripts/enrol.lua enrol",
		old:  "math.max(given() + 1, last + 1, clock)",
		new:  "math.max(given() + 1, last + 1)",
	},
	{
		name: "redis: the tickets in line do not count for the next number",
		in:   "queue/redisqueue/scripts/enrol.lua enrol",
		old:  "math.max(given() + 1, last + 1, clock)",
		new:  "math.max(given() + 1, clock)",
	},
	{
		name: "redis: the last number given does not count for the next",
		in:   "queue/redisqueue/scripts/enrol.lua enrol",
		old:  "math.max(given() + 1, last + 1, clock)",
		new:  "math.max(last + 1, clock)",
	},
	{
		name: "redis: eviction by age",
		in:   "queue/redisqueue/scripts/prelude.lua survey",
		old:  "local value = lease(leaseKey(token), member)",
		new:  "local value = call('TIME')[1] - string.match(member, '(%d+)$') / 1000 < 0.3 and lease(leaseKey(token), member)",
	},
	{
		name: "redis: a lease keeps all with its token alive",
		in:   "queue/redisqueue/scripts/prelude.lua lease",
		old:  "string.sub(value, 1, #member + 1) == member .. ' '",
		new:  "value ~= ''",
	},
	{
		name: "redis: a lease that is elsewhere is a sign of death",
		in:   "queue/redisqueue/scripts/prelude.lua lease",
		old:  "call('EXISTS', KEYS[1], key)",
		new:  "",
	},
	{
		name: "redis: what the server cannot do now is not asked again",
		in:   "queue/redisqueue isFinal",
		old:  "isAnswer(err) && !isRefusal(err)",
		new:  "isAnswer(err)",
	},
	{
		name: "redis: a request that was overtaken takes a ticket",
		in:   "queue/redisqueue Queue.leave",
		old:  "r.overtaken.LoadAndDelete(token); ok && (",
		new:  "r.overtaken.LoadAndDelete(token); ok && false && (",
	},
	{
		name: "redis: a grant outlives the ticket of an earlier request",
		in:   "queue/redisqueue Queue.enrol",
		old:  "if t.Ahead > 0 {",
		new:  "if false {",
	},
	{
		name: "redis: nobody is ever evicted",
		in:   "queue/redisqueue/scripts/prelude.lua survey",
		old:  "local value = lease(leaseKey(token), member)",
		new:  "local value = lease(leaseKey(token), member) or 'x x'",
	},
	{
		name: "redis: a heartbeat leaves the dead in front of it",
		in:   "queue/redisqueue/scripts/refresh.lua",
		old:  "if line then -- a",
		new:  "if false then -- a",
	},
	{
		name: "redis: a heartbeat brings a ticket back",
		in:   "queue/redisqueue/scripts/refresh.lua",
		old:  "local alive = lease(KEYS[3], ARGV[1]) and queued(ARGV[1])",
		new: `local alive = true
			if not queued(ARGV[1]) then
			call('ZADD', KEYS[1], string.match(ARGV[1], '^%d+'), ARGV[1])
			call('SET', KEYS[3], ARGV[1] .. ' p 1 1 h', 'PX', ARGV[2])
			end`,
	},
	{
		name: "redis: a shorter lease shortens what the queue's keys last",
		in:   "queue/redisqueue/scripts/prelude.lua lasting",
		old:  "if call('PTTL', key) < milliseconds then",
		new:  "if true then",
	},
	{
		name: "redis: a registration that was given up may still arrive",
		in:   "queue/redisqueue/scripts/abandon.lua",
		old:  "if tonumber(ARGV[1]) > 0 then",
		new:  "if false then",
	},
	{
		name: "redis: a registration that failed is not taken back",
		in:   "queue/redisqueue Queue.enrol",
		old:  "case err != nil && times > 0:",
		new:  "case false:",
	},
	{
		name: "redis: a release whose reply was lost is a loss",
		in:   "queue/redisqueue Queue.leave",
		old:  "if answer.status == statusGone && request.times.Load() > 1 {",
		new:  "if false {",
	},
	{
		name: "redis: PUBLISH must be allowed",
		in:   "queue/redisqueue/scripts/prelude.lua tell",
		old:  "redis.pcall('PUBLISH',",
		new:  "call('PUBLISH',",
	},
	{
		name: "redis: any message is a grant",
		in:   "queue/redisqueue hub.deliver",
		old:  "case box.proof == proof:",
		new:  "case len(proof) < longestMessage:",
	},
	{
		name: "redis: what is published before the subscription is up is missed",
		in:   "queue/redisqueue hub.openLocked",
		old:  "wakeup.Put(box.wake, queue.WakeHint) // what is published now is missed",
		new:  "",
	},
	{
		name: "redis: nobody looks after a reconnect",
		in:   "queue/redisqueue hub.up",
		old:  "h.listening = true h.lookLocked()",
		new:  "h.listening = true",
	},
	{
		name: "redis: a hint displaces a grant",
		in:   "queue/internal/wakeup Put",
		old:  "if w == queue.WakeHint { return // one hint is enough, and a grant is worth more }",
		new:  "",
	},
	{
		name: "redis: a score that is not the number is believed",
		in:   "queue/redisqueue/scripts/prelude.lua parse",
		old:  "number == tonumber(score)",
		new:  "tonumber(score)",
	},
	{
		name: "redis: the keys are removed while somebody is in line",
		in:   "queue/redisqueue/scripts/leave.lua leave",
		old:  "local last = cleanup and line and not line.head and not line.more",
		new:  "local last = cleanup and line",
	},
	{
		name: "redis: the head behind a full thousand of dead is not told",
		in:   "queue/redisqueue/scripts/prelude.lua survey",
		old:  "if #line.dead == LIMIT then line.more = true return true end line.dead[#line.dead + 1] = member",
		new: `line.dead[#line.dead + 1] = member
			line.more = #line.dead == LIMIT
			return line.more`,
	},
	{
		name: "redis: a clock that is set back keeps the dead in line",
		in:   "queue/redisqueue/scripts/prelude.lua overlong",
		old:  "call('PTTL', key) > length and length",
		new:  "false and length",
	},
	{
		name: "redis: the end of the client's time is that of the ctx",
		in:   "queue/redisqueue Queue.fail",
		old:  "err = &clientTimeoutError{err}",
		new:  "",
	},
}}
