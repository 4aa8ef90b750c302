-- enrol.lua stands in front of register.lua and try-register.lua.

-- highest returns the number of the last ticket in line, 0 if there is none,
-- or nil if the line is crowded.
local function highest()
  local foreign, from, count = 0, 0, 1
  while true do
    local entries = call('ZREVRANGE', KEYS[1], from, from + count - 1, 'WITHSCORES')
    for i = 1, #entries, 2 do
      local number = parse(entries[i], entries[i + 1])
      if number then
        return number
      end
      foreign = foreign + 1
      if foreign > LIMIT then
        return nil
      end
    end
    if #entries < 2 * count then
      return 0
    end
    from, count = from + count, 100
  end
end

-- given returns the last number given, or 0 if the key says nothing that could
-- be one: it is repaired by the next number.
local function given()
  local value = call('GET', KEYS[2])
  local number = value and #value <= 16 and string.find(value, '^[1-9]%d*$') and tonumber(value)
  return number and number <= MAX and number or 0
end

-- repeated answers a request that was executed before: its lease is there.
local function repeated()
  local value = call('GET', KEYS[3])
  local member = value and string.match(value, '^%S+')
  if not member or not queued(member) then
    return { 'refused', '' }
  end
  return { 'ok', member, call('ZRANK', KEYS[1], member), '' }
end

-- enrol takes the next number and puts a ticket in line. line is a survey of
-- it, last the highest number in it. The clock in the numbers keeps them
-- ascending when all keys are lost.
local function enrol(line, last, token, milliseconds, lasts, rest, hub)
  local time = call('TIME')
  local clock = time[1] * 1000000 + time[2]
  local number = math.max(given() + 1, last + 1, clock)
  if number > MAX then
    return { 'exhausted', '' }
  end
  local digits = string.format('%.0f', number)
  local member = string.format('%s:%s:%.0f', digits, token, math.floor(clock / 1000))
  -- That the lease is new is also the proof that the request is.
  if not call('SET', KEYS[3], member .. rest, 'NX', 'PX', milliseconds) then
    return repeated()
  end
  evict(line)
  call('ZADD', KEYS[1], digits, member)
  call('SET', KEYS[2], digits, 'KEEPTTL')
  -- What a crash leaves behind goes some time after the last lease.
  lasting(KEYS[1], lasts)
  lasting(KEYS[2], lasts)
  if not line.head then
    return { 'ok', member, 0, news('', line) }
  end
  local ahead = call('ZRANK', KEYS[1], member) - line.foreign
  return { 'ok', member, math.max(1, ahead), news(tell(line, hub), line) }
end
