-- lib.lua stands in front of every script that looks at a line as a whole.
--
-- KEYS[1]  {name}:queue  ZSET   one entry per ticket: number:token:milliseconds, score = number
-- KEYS[2]  {name}:seq    string the last number given
-- KEYS[3]  {name}:lease:{token} string, where a script is about one ticket; the
--          leases of the others in line are found by their tokens and lie in
--          the same slot. It says
--            {entry} {lease in ms} {owners} {presence} {pid} {host} {label}
--          where owners is how many own at a time by the ticket's own view: 0 is
--          exclusive, 1 or more is shared; and presence is how the death of its
--          process is noticed, - if it is not: see presence.lua
-- ARGV[1]  owners of the caller's view
-- ARGV[2]  the caller's notifier
-- The others are told at each script. The last one is 1 if the caller has crash detection,
-- else empty.
--
-- Every script reads all that it needs before it writes anything: a key of the
-- wrong type raises WRONGTYPE while nothing is half done.
--
-- Every script returns an array. Its first element says how it went:
--   ok         done; the other elements are told at each script
--   gone       the ticket is not in line
--   again      a bounded part of a long row of dead was removed: call again
--   crowded    too many foreign entries to find the tickets between them
--   exhausted  there is no number left
--   refused    the ticket was abandoned before it was taken
--   busy       as many are in line as may own
--   kind       those in line are of the other kind
-- (The answers of register_fast.lua and release_fast.lua, in front of this, are told
-- there.) Its last element is the news: '' if there are none; else an array of how
-- many messages there are, the messages, and the entries of the dead that were
-- removed. A message is the entry of a ticket of the caller's own notifier that owns
-- now; it is not published.

-- How many own at a time.
local OWNERS = math.max(1, tonumber(ARGV[1]))

-- How many dead, and how many foreign entries, one call deals with.
local LIMIT = 1000

-- The highest integer that a score (a double) can hold.
local MAX = 9007199254740991

-- A hundred years: for keys that must not be lost.
local ALWAYS = 3153600000000

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

-- lease returns the value of a ticket's lease, or nil if its owner is gone.
-- The lease is the ticket's own only if it begins with the ticket's entry. It
-- does not if the token has got a second ticket, because the request was
-- executed again after the lease of the first had run out; nor if it is the
-- mark that release.lua leaves.
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

-- terms returns how long a lease is made for, and how many own by its ticket's view.
local function terms(value)
  local length, owners = string.match(value, '^%S+ (%d+) (%d+) ')
  return tonumber(length), tonumber(owners) or 0
end

-- walk calls visit(member, token) for the tickets from the front on until it
-- returns true, and returns how many foreign entries it has passed, or nil if
-- they are too many. It begins with few: most lines are looked at for their
-- owners and the one behind them.
local function walk(visit)
  local foreign, from, count = 0, 0, math.min(OWNERS + 1, 100)
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

-- suspect examines the processes of the tickets behind the owners: they may have ended
-- together with an owner's, and shall not be found one after the other. Behind a hundred,
-- among which living ones may stand, it goes on up to the first that is there: every
-- script pays for this as long as an owner is in doubt.
local function suspect()
  local count = 0
  walk(function(_, token)
    local value = redis.pcall('GET', leaseKey(token)) -- of the wrong type it must not fail the look
    count = count + 1
    local there = type(value) == 'string' and not absent(token, value)
    return count == LIMIT or there and count >= 100
  end)
end

-- survey looks for the owners, the first tickets whose owners are alive, and
-- changes nothing. It returns nil if the line is crowded, else a table:
--   living    how many living tickets were met, of which the first OWNERS own
--   place     of each of them by its entry, 0 for the first
--   values    the values of their leases, in order, and
--   keys      the keys of their leases
--   granted   those that own by their own view and did not before this step, their
--             entries and tokens in turn
--   dead      the entries of the dead before the last of the living, and
--   cut       the leases of those among them that had not run out
--   doubt     for how many milliseconds an owner goes on to be believed whose process
--             seems to have ended; nil if none seems so
--   foreign   how many foreign entries are before it
--   more      there are more dead than one call removes
-- The entries leaving and other are passed over, as if they had left already.
--
-- A ticket owns if fewer living are before it than its own view says. It did so
-- before this step if that held of all before it, those that leave now and the dead
-- included. Behind as many as own by the caller's view, it looks on as long as it
-- meets owners: those of a view that lets more own.
--
-- Where there are more dead than one call removes, as many as may own stay: a call
-- that removed them without meeting the next would leave that one at the front, where
-- the next call takes it for told.
local function survey(leaving, other)
  local line = { living = 0, place = {}, values = {}, keys = {}, granted = {}, dead = {}, cut = {} }
  local passed = 0
  line.foreign = walk(function(member, token)
    if member == leaving or member == other then
      passed = passed + 1
      return false
    end
    local key = leaseKey(token)
    local value = lease(key, member)
    local left = value and absent(token, value)
    if left == 0 then
      line.cut[#line.cut + 1] = key
      value = nil
    elseif left then
      line.doubt = math.min(line.doubt or left, left)
    end
    if not value then
      line.dead[#line.dead + 1] = member
      passed = passed + 1
      line.more = #line.dead > LIMIT + OWNERS
      return line.more
    end
    local _, owners = terms(value)
    owners = math.max(1, owners)
    if line.living < owners and passed >= owners then
      line.granted[#line.granted + 1] = member
      line.granted[#line.granted + 1] = token
    end
    local last = line.living + 1
    line.place[member], line.values[last], line.keys[last] = line.living, value, key
    line.living = last
    passed = passed + 1
    return last >= OWNERS and last >= owners
  end)
  if line.more then
    for _ = 1, OWNERS + 1 do
      table.remove(line.dead)
    end
  end
  if line.doubt then
    suspect()
  end
  return line.foreign and line
end

-- primary fails on a replica, which refuses every write: this one, too, though
-- there is nothing in its range. A script that may find nothing to write calls
-- it before it answers, because a replica's answer may be old.
local function primary()
  call('ZREMRANGEBYRANK', KEYS[1], 1, 0)
  present()
end

-- keep makes the ZSET last, for the foreign entries in it, which are not ours to remove.
local function keep()
  call('PEXPIRE', KEYS[1], ALWAYS)
end

-- crowded is the answer where a survey has found no line.
local function crowded()
  primary()
  keep()
  return { 'crowded', '' }
end

-- evict removes the dead that a survey has found, and marks the processes that it
-- has found absent for the first time.
local function evict(line)
  mark()
  if line.foreign > 0 then
    keep()
  end
  for from = 1, #line.cut, LIMIT do
    call('DEL', unpack(line.cut, from, math.min(#line.cut, from + LIMIT - 1)))
  end
  for from = 1, #line.dead, LIMIT do
    call('ZREM', KEYS[1], unpack(line.dead, from, math.min(#line.dead, from + LIMIT - 1)))
  end
end

-- believed returns for how many milliseconds all owners that a survey has found are
-- believed, or -1 if a lease of theirs lasts for longer than it was made. It does so
-- when the server's clock was set back, because a time to live ends at a time of that
-- clock; or when it has no end, after PERSIST or RESTORE. repair.lua makes up for it.
-- Where another number may own by the view of one of them, its release may tell none of
-- those that own by the caller's: then it is a short time, so that these look. It notes
-- in line.watched whether the death of one of their processes is noticed.
local function believed(line)
  local shortest
  for i = 1, math.min(line.living, OWNERS) do
    local length, owners = terms(line.values[i])
    local left = call('PTTL', line.keys[i])
    if length and (left > length or left == -1) then
      return -1
    end
    local within = watched(line.values[i])
    line.watched = line.watched or within
    if math.max(1, owners) ~= OWNERS then
      left = math.min(left, 25)
    end
    shortest = math.min(shortest or left, left, within or left)
  end
  return math.max(0, math.min(shortest or 0, line.doubt or shortest or 0))
end

-- news tells those that a survey has found to own now, and is the last element of an
-- answer after evict. The notifier of each is the part of its token before the dot. A
-- message for the caller's own is returned. A PUBLISH that is forbidden must not fail
-- the script: polling carries on.
local function news(line)
  local all = { 0 }
  for i = 1, #line.granted, 2 do
    local to = string.match(line.granted[i + 1], '^([^.]+)%.')
    if to == ARGV[2] then
      all[#all + 1] = line.granted[i]
    elseif to then
      redis.pcall('PUBLISH', 'fifolock:' .. to, line.granted[i])
    end
  end
  all[1] = #all - 1
  for _, member in ipairs(line.dead) do
    all[#all + 1] = member
  end
  return #all > 1 and all or ''
end

-- queued reports whether an entry is a ticket that is in line.
local function queued(member)
  local score = call('ZSCORE', KEYS[1], member)
  return score and parse(member, score) ~= nil
end

-- ahead returns how many must leave before a ticket owns that does not. It counts
-- the dead behind the owners.
local function ahead(member, line)
  return math.max(1, call('ZRANK', KEYS[1], member) - line.foreign - OWNERS + 1)
end

-- longest returns the length of the longest lease in line, as far as one call looks. A
-- lease key of the wrong type says nothing: what calls this has written already.
local function longest()
  local length, count = 0, 0
  walk(function(_, token)
    local value = redis.pcall('GET', leaseKey(token))
    length = math.max(length, type(value) == 'string' and terms(value) or 0)
    count = count + 1
    return count == LIMIT
  end)
  return math.min(length, ALWAYS)
end

-- lasting makes a key last for so many milliseconds, if it has less than three
-- quarters of them to go, both counted from when its number is not ahead of the clock any
-- more. It never shortens: the tickets that share the key may have longer leases. A key
-- that has no end (after PERSIST or a copy) does not tell how long theirs are, but they do.
-- left is what PTTL says, of a new key what it said before.
local function lasting(key, left, milliseconds, ahead)
  if left - ahead < milliseconds * 3 / 4 then
    if left == -1 then
      milliseconds = math.max(milliseconds, 2 * longest())
    end
    call('PEXPIRE', key, string.format('%.0f', milliseconds + ahead))
  end
end

-- given returns the last number given, or 0 if the key's value cannot be one:
-- the next number repairs it.
local function given()
  local value = call('GET', KEYS[2])
  local number = value and #value <= 16 and string.find(value, '^[1-9]%d*$') and tonumber(value)
  return number and number <= MAX and number or 0
end

-- early returns for how many milliseconds a number is ahead of the clock.
local function early(number, clock)
  return math.max(0, number - clock) / 1000
end

-- forget removes the last number given when no ticket is in line, unless it is ahead
-- of the clock: then it stays until the clock has passed it, so that numbers ascend.
--
-- A Cluster has no absent key, and while a slot is about to move to another node a
-- command about a key that is not there is an error.
local function forget(number, clock)
  redis.pcall('DEL', absentKey())
  if number < clock then
    call('DEL', KEYS[2])
  else
    if given() < number then
      call('SET', KEYS[2], string.format('%.0f', number))
    end
    call('PEXPIRE', KEYS[2], string.format('%.0f', early(number, clock) + 60000))
  end
end
