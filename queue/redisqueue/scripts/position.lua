-- position.lua removes the dead heads and says how many are before a ticket.
--
-- KEYS  queue, seq, lease
-- ARGV  entry, the caller's hub
-- Returns {'ok', how many are before it (0: it is the head), message},
--   {'gone', message}, {'again', message} or {'crowded', ''}

local line = survey()
if not line then
  return { 'crowded', '' }
end
primary()
local alive = line.head ~= ARGV[1] and lease(KEYS[3], ARGV[1])
evict(line)
shorten(line)
if line.head == ARGV[1] then
  return { 'ok', 0, news('', line) }
end
local message = news(tell(line, ARGV[2]), line)
if not alive or not queued(ARGV[1]) then
  return { 'gone', message }
end
if line.more then
  return { 'again', message }
end
local ahead = call('ZRANK', KEYS[1], ARGV[1]) - line.foreign
return { 'ok', math.max(1, ahead), message }
