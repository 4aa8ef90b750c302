-- presence.lua stands in front of lib.lua: how the death of a process is noticed before
-- the leases of its tickets run out.
--
-- The presence of a ticket, in its lease, is {run id}/{milliseconds}: its process was
-- subscribed to its notifier's channel on the server with that run id, and its tickets
-- leave the line when it has not been for so long. It is ? if its process has crash
-- detection and was not seen, and - without. A look at the line takes a ticket for that
-- of a dead owner if all of this holds:
--
--   1. The run id is that of this server. A restart, a failover or a move disarms it
--      until the owner has been seen here.
--   2. The channel has no subscriber.
--   3. The process was marked as absent at least so long ago, and no script of it has
--      cleared the mark since. Every script of a process clears its mark.
--
-- The connection is evidence, never the lock: (3) lets a process that lives, and has
-- lost its connection, say so. The marks are a hash beside the queue, {name}:absent,
-- from the notifier to the server's clock in milliseconds; it goes with the queue. They
-- are for a process, so that all its tickets leave together.
--
-- A user without the right to PUBSUB, INFO, HGET, HSET or HLEN cannot notice a death, and
-- a process that has not got a presence is not noticed: both go by the lease.

local call = redis.call

-- Whether the caller has crash detection.
local DETECTS = ARGV[#ARGV] ~= ''

local function absentKey()
  return string.sub(KEYS[1], 1, -6) .. 'absent'
end

-- present clears the mark of the caller's process. Every script calls it.
local function present()
  if DETECTS then
    call('HDEL', absentKey(), ARGV[2])
  end
end

-- micros returns the server's clock.
local function micros()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- armed returns the run id and the grace time in a ticket's presence, nothing
-- if it has none.
local function armed(value)
  local run, grace = string.match(value, '^%S+ %d+ %d+ (%x+)/(%d+) ')
  return run, tonumber(grace)
end

-- watched returns after how long the first in line looks again at an owner whose
-- presence has a grace time, nil if it has none. The grace time begins with the look that
-- finds the process absent, which is no more than half a second after its end, however long
-- the grace time is.
local function watched(value)
  local _, grace = armed(value)
  return grace and math.min(400, math.ceil(grace / 4))
end

local known = {}    -- the findings of absent, by notifier and presence
local unmarked = {} -- notifiers to be marked, and for how long they may be absent
local server        -- the server's run id

-- here reports whether this server is that run.
local function here(run)
  if not server then
    local info = redis.pcall('INFO', 'server')
    server = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or '-'
  end
  return server == run
end

-- since returns when a process was marked, whether it is to be marked now, and the
-- time now; or nil if the process is not absent.
local function since(process, run)
  local subscribers = redis.pcall('PUBSUB', 'NUMSUB', 'fifolock:' .. process)
  if subscribers.err or subscribers[2] ~= 0 then
    return nil
  end
  if not here(run) then
    return nil
  end
  local marked = redis.pcall('HGET', absentKey(), process)
  local now = math.floor(micros() / 1000)
  marked = type(marked) == 'string' and tonumber(marked)
  if marked and marked <= now then
    return marked, false, now
  end
  return now, true, now -- a mark ahead of the clock, which was set back, is none
end

-- absent returns nil if a ticket's process is not known to have ended; otherwise for how
-- many milliseconds more it goes on to be believed, and since when it is absent.
local function absent(token, value)
  local run, grace = armed(value)
  local process = run and string.match(token, '^([^.]+)%.')
  if not process or process == ARGV[2] then
    return nil
  end
  local key = process .. ' ' .. run .. ' ' .. grace
  if known[key] == nil then
    local marked, new, now = since(process, run)
    if new then
      unmarked[process] = math.max(unmarked[process] or 0, grace)
    end
    known[key] = marked and { math.max(0, marked + grace - now), marked } or false
  end
  if known[key] then
    return known[key][1], known[key][2]
  end
end

-- mark marks those that were found absent. A mark lasts for longer than it takes to
-- count. In a line that is never empty those of the dead gather; when they are many, all
-- go, which puts off an eviction and no more.
local function mark()
  for process, grace in pairs(unmarked) do
    local key = absentKey()
    local count = redis.pcall('HLEN', key)
    if type(count) == 'number' and count >= 10000 then
      call('DEL', key)
    end
    if type(redis.pcall('HSET', key, process, math.floor(micros() / 1000))) == 'number' then
      call('PEXPIRE', key, math.max(2 * grace + 60000, call('PTTL', key)))
    end
  end
  unmarked = {}
end
