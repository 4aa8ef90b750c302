-- position.lua removes the dead among the owners and says how many must leave before
-- a ticket owns.
--
-- KEYS  queue, seq, lease
-- ARGV  owners, notifier, entry
-- Returns {'ok', how many must leave (0: it owns), for how many milliseconds all the
--     owners are believed or -1 if a lease needs repair, news},
--   {'gone', news}, {'again', news} or {'crowded', ''}

local line = survey()
primary()
if not line then
  return { 'crowded', '' }
end
local place = line.place[ARGV[3]]
local owns = place and place < OWNERS
local alive = place or lease(KEYS[3], ARGV[3]) and queued(ARGV[3])
local milliseconds = believed(line)
evict(line)
if owns then
  return { 'ok', 0, milliseconds, news(line) }
end
if not alive then
  return { 'gone', news(line) }
end
if line.more then
  return { 'again', news(line) }
end
return { 'ok', ahead(ARGV[3], line), milliseconds, news(line) }
