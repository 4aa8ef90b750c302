-- is_empty.lua says whether no ticket is in line, dead or alive, and if there is none
-- cleans up: it removes the number last given. The ZSET is gone by itself then; foreign
-- entries in it are kept.
--
-- KEYS  queue, seq
-- ARGV  owners, notifier, 1 to clean up
-- Returns {'ok', 1 if no ticket is in line or 0, ''} or {'crowded', ''}

local empty = 1
local foreign = walk(function()
  empty = 0
  return true
end)
if not foreign then
  return crowded()
end
local number = ARGV[3] == '1' and given()
primary()
if number and empty == 1 and call('EXISTS', KEYS[2]) == 1 then
  forget(number, micros())
end
return { 'ok', empty, '' }
