-- join.lua stands in front of register.lua and try_register.lua.
--
-- ARGV[3]  token
-- ARGV[4]  lease in milliseconds
-- ARGV[5]  for how many milliseconds the other keys last
-- ARGV[6]  the value of the lease after the entry

-- highest returns the number and the entry of the last ticket in line, 0 and '' if
-- there is none, or nil if the line is crowded.
local function highest()
  local foreign, from, count = 0, 0, 1
  while true do
    local entries = call('ZREVRANGE', KEYS[1], from, from + count - 1, 'WITHSCORES')
    for i = 1, #entries, 2 do
      local number = parse(entries[i], entries[i + 1])
      if number then
        return number, entries[i], foreign
      end
      foreign = foreign + 1
      if foreign > LIMIT then
        return nil
      end
    end
    if #entries < 2 * count then
      return 0, '', foreign
    end
    from, count = from + count, 100
  end
end

-- other returns the answer when those in line are of the other kind: how many own
-- by the view of the first.
local function other(line)
  if line.living > 0 then
    local _, owners = terms(line.values[1])
    if (owners == 0) ~= (ARGV[1] == '0') then
      primary()
      return { 'kind', owners, '' }
    end
  end
end

-- repeated answers a request that was executed before: its lease is there. Its ticket may
-- own by now because others are found dead: they leave before it is told so.
local function repeated(line)
  local value = call('GET', KEYS[3])
  local member = value and string.match(value, '^%S+')
  if not member or not queued(member) then
    return { 'refused', '' }
  end
  evict(line)
  local place = line.place[member]
  if place and place < OWNERS then
    return { 'ok', member, 0, '', news(line) }
  end
  return { 'ok', member, ahead(member, line), '', news(line) }
end

-- join takes the next number and puts a ticket in line. line is a survey of it, last
-- and before the highest number in it and the entry that has it. The clock in the
-- numbers keeps them ascending when all keys are lost.
local function join(line, last, before, behind)
  local clock = micros()
  local number = math.max(given() + 1, last + 1, clock)
  if number > MAX then
    primary()
    return { 'exhausted', '' }
  end
  local digits = string.format('%.0f', number)
  local member = string.format('%s:%s:%.0f', digits, ARGV[3], math.floor(clock / 1000))
  -- A ZSET of nothing but the dead goes with them, and its time to live with it.
  local line_left = line.living > 0 and call('PTTL', KEYS[1]) or -2
  local seq_left = call('PTTL', KEYS[2])
  present()
  -- That the lease is new is also the proof that the request is.
  if not call('SET', KEYS[3], member .. ARGV[6], 'NX', 'PX', ARGV[4]) then
    return repeated(line)
  end
  evict(line)
  call('ZADD', KEYS[1], digits, member)
  call('SET', KEYS[2], digits, 'KEEPTTL')
  -- The leavings of a crash go some time after the last lease.
  local lasts = tonumber(ARGV[5])
  if line.foreign + behind > 0 then
    keep()
  else
    lasting(KEYS[1], line_left, lasts, 0)
  end
  lasting(KEYS[2], seq_left, lasts, early(number, clock))
  if line.living < OWNERS then
    return { 'ok', member, 0, '', news(line) }
  end
  return { 'ok', member, ahead(member, line), before, news(line) }
end
