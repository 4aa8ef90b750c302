-- prelude.lua stands in front of every other script.
--
-- KEYS[1]  {name}:queue  ZSET   one entry per ticket: number:token:milliseconds, score = number
-- KEYS[2]  {name}:seq    string the last number given
-- KEYS[3]  {name}:lease:{token} string, where a script is about one ticket; the
--          leases of the others in line are found by their tokens and lie in
--          the same slot
--
-- Every script reads all that it needs before it writes anything: a key of the
-- wrong type raises WRONGTYPE while nothing is half done.
--
-- Every script returns an array. Its first element says how it went:
--   ok         done; what follows is told at each script
--   gone       the ticket is not in line
--   again      a bounded part of a long row of dead was removed: call again
--   crowded    too many foreign entries to find the tickets between them
--   exhausted  there is no number left
--   refused    the ticket was abandoned before it was taken
--   busy       somebody is in line
-- (What first.lua and last.lua answer instead, in front of this, is told there.)
-- Its last element is a message for the caller's own process, or empty: the
-- grant of a new head whose hub is the caller's. It is not published. When dead
-- were removed it is an array: the message, and then their entries.

local call = redis.call

-- How many dead, and how many foreign entries, one call deals with.
local LIMIT = 1000

-- The highest integer that a score (a double) can hold.
local MAX = 9007199254740991

-- parse returns the number and the token of a ticket's entry, or nothing for a
-- foreign one. An entry whose score is not its number is foreign, too: its
-- place in line is not its place in order.
local function parse(member, score)
  if #member > 256 then
    return nil
  end
  local digits, token = string.match(member, '^([1-9]%d*):([^:]+):%d+$')
  local number = tonumber(digits)
  if number and number <= MAX and number == tonumber(score) then
    return number, token
  end
end

-- leaseKey returns the key of a token's lease.
local function leaseKey(token)
  return string.sub(KEYS[1], 1, -6) .. 'lease:' .. token
end

-- lease returns what the lease of a ticket says, or nil if its owner is gone.
-- It is its own only if it begins with its entry. It does not if the token has
-- got a second ticket, because the request was executed again after the lease
-- of the first had run out; nor if it is the mark that abandon.lua leaves.
--
-- While a slot moves between two nodes of a Cluster, a lease that is not here
-- may still be there. GET says nil all the same, where the line has arrived
-- already; EXISTS of more than one key fails there unless all of them are here.
local function lease(key, member)
  local value = call('GET', key)
  if not value then
    call('EXISTS', KEYS[1], key)
  elseif string.sub(value, 1, #member + 1) == member .. ' ' then
    return value
  end
end

-- walk calls visit(member, token) for the tickets from the front on until it
-- returns true, and returns how many foreign entries it has passed, or nil if
-- they are too many. It begins with two: most lines are looked at for their
-- head and the one behind it.
local function walk(visit)
  local foreign, from, count = 0, 0, 2
  while true do
    local entries = call('ZRANGE', KEYS[1], from, from + count - 1, 'WITHSCORES')
    for i = 1, #entries, 2 do
      local number, token = parse(entries[i], entries[i + 1])
      if not number then
        foreign = foreign + 1
        if foreign > LIMIT then
          return nil
        end
      elseif visit(entries[i], token) then
        return foreign
      end
    end
    if #entries < 2 * count then
      return foreign
    end
    from, count = from + count, 100
  end
end

-- survey looks for the head, the first ticket whose owner is alive, and
-- changes nothing. It returns nil if the line is crowded, else a table:
--   front              the first ticket, dead or alive
--   head, token, value the head, its token, and what its lease says; or nil
--   dead               the entries of the dead before it
--   foreign            how many foreign entries are before it
--   more               there are more dead than one call removes
--   met                the entry leaving was met
-- The entry leaving is passed over, as if it had left already.
--
-- It looks one further than it may remove: a call that removed the last of the
-- dead without meeting the head would leave it at the front, where the next call
-- takes it for told.
local function survey(leaving)
  local line = { dead = {} }
  line.foreign = walk(function(member, token)
    line.front = line.front or member
    if member == leaving then
      line.met = true
      return false
    end
    local value = lease(leaseKey(token), member)
    if value then
      line.head, line.token, line.value = member, token, value
      return true
    end
    if #line.dead == LIMIT then
      line.more = true
      return true
    end
    line.dead[#line.dead + 1] = member
  end)
  return line.foreign and line
end

-- primary fails on a replica, which refuses every write: this one, too, though
-- there is nothing in its range. A script that may find nothing to write calls
-- it before it answers, because a replica's answer may be old.
local function primary()
  call('ZREMRANGEBYRANK', KEYS[1], 1, 0)
end

-- evict removes the dead that a survey has found.
local function evict(line)
  if #line.dead > 0 then
    call('ZREM', KEYS[1], unpack(line.dead))
  end
end

-- overlong returns how long a lease was made, if it has longer to go than that.
local function overlong(key, value)
  local length = tonumber(string.match(value, '^%S+ %S+ (%d+)'))
  return length and call('PTTL', key) > length and length
end

-- shorten makes up for a clock of the server that was set back: a time to live
-- ends at a time of that clock, so that who had died would hold up the line for
-- as long as the clock was set back. If that has happened to the head that a
-- survey has found, all leases are made as long again as their owners believe.
-- It is for those who come by while they wait, or try.
local function shorten(line)
  if not line.head or not overlong(leaseKey(line.token), line.value) then
    return
  end
  local count = 0
  walk(function(member, token)
    local key = leaseKey(token)
    local value = lease(key, member)
    local length = value and overlong(key, value)
    if length then
      call('PEXPIRE', key, length)
    end
    count = count + 1
    return count == LIMIT
  end)
end

-- tell tells the head that a survey has found, if it was not the front before,
-- that it is granted its turn. Its hub is the part of its token before the
-- dot. If that is the caller's own hub, it returns the message instead. A
-- PUBLISH that is forbidden must not fail the script: polling carries on.
local function tell(line, hub)
  if not line.head or line.head == line.front then
    return ''
  end
  local to = string.match(line.token, '^([^.]+)%.')
  local proof = string.match(line.value, '^%S+ (%S+)')
  if not to or not proof then
    return ''
  end
  local message = line.head .. ' ' .. proof
  if to == hub then
    return message
  end
  redis.pcall('PUBLISH', 'fifolock:' .. to, message)
  return ''
end

-- news is the last element of an answer after evict: the message, with the dead
-- that were removed, if any.
local function news(message, line)
  if #line.dead == 0 then
    return message
  end
  return { message, unpack(line.dead) }
end

-- queued reports whether an entry is a ticket that is in line.
local function queued(member)
  local score = call('ZSCORE', KEYS[1], member)
  return score and parse(member, score) ~= nil
end

-- lasting makes a key last at least that many milliseconds more. It never
-- shortens: those who share the key may have longer leases.
local function lasting(key, milliseconds)
  if call('PTTL', key) < milliseconds then
    call('PEXPIRE', key, milliseconds)
  end
end
