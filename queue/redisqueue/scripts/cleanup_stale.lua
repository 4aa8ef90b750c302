-- cleanup_stale.lua removes the dead among the owners and tells the new owners.
--
-- KEYS  queue, seq
-- ARGV  owners, notifier
-- Returns {'ok', for how long the owners are believed as in position.lua, news},
--   {'again', news} or {'crowded', ''}

local line = survey()
if not line then
  return crowded()
end
primary()
local milliseconds = believed(line)
evict(line)
if line.more then
  return { 'again', news(line) }
end
return { 'ok', milliseconds, news(line) }
