-- is_empty.lua says whether no ticket is in line, dead or alive.
--
-- KEYS  queue, seq
-- ARGV  owners, notifier
-- Returns {'ok', 1 if no ticket is in line or 0, ''} or {'crowded', ''}

local empty = 1
local foreign = walk(function()
  empty = 0
  return true
end)
if not foreign then
  return crowded()
end
primary()
return { 'ok', empty, '' }
