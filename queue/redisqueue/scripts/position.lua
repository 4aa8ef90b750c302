-- position.lua removes the dead among the owners and says how many must leave before
-- a ticket owns.
--
-- KEYS  queue, seq, lease
-- ARGV  owners, notifier, entry
-- Returns {'ok', how many must leave (0: it owns), for how many milliseconds all the
--     owners are believed or -1 if a lease needs repair, after how many it is to look
--     again if they leave all at once, news},
--   {'gone', news}, {'again', news} or {'crowded', ''}

-- together returns after how many milliseconds a ticket looks again however many wait in
-- front of it, because all of those are of one process, and not the caller's: when that
-- ends they leave at once, and none of them looks before. It returns 0 for a ticket that
-- goes by its place. It examines as many as one call removes.
local function together(member, line, milliseconds)
  if not DETECTS and not line.watched then
    return 0 -- no crash detection here
  end
  local rank = call('ZRANK', KEYS[1], member)
  local last, count, process, after = rank - 1, 1, nil, nil
  while last >= 0 and rank - last <= LIMIT do
    local from = math.max(0, last - count + 1)
    local entries = call('ZRANGE', KEYS[1], from, last, 'WITHSCORES')
    for i = #entries - 1, 1, -2 do
      local number, token = parse(entries[i], entries[i + 1])
      if line.place[entries[i]] then -- an owner: all behind it were examined
        return after and math.min(after, milliseconds > 0 and milliseconds or after) or 0
      elseif number then
        local its = string.match(token, '^([^.]+)%.')
        if not process then
          -- Something has been written by now, so that a key of the wrong type is no error.
          local value = redis.pcall('GET', leaseKey(token))
          process, after = its, type(value) == 'string' and watched(value)
        end
        if not after or its ~= process or its == ARGV[2] then
          return 0
        end
      end
    end
    last, count = from - 1, 100
  end
  return 0
end

local line = survey()
if not line then
  return crowded()
end
primary()
local place = line.place[ARGV[3]]
local owns = place and place < OWNERS
local alive = place or lease(KEYS[3], ARGV[3])
local milliseconds = believed(line)
evict(line)
if owns then
  return { 'ok', 0, milliseconds, 0, news(line) }
end
if not alive or not queued(ARGV[3]) then -- it may have been evicted just now
  return { 'gone', news(line) }
end
if line.more then
  return { 'again', news(line) }
end
local again = together(ARGV[3], line, milliseconds)
return { 'ok', ahead(ARGV[3], line), milliseconds, again, news(line) }
