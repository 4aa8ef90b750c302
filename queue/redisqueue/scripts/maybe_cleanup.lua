-- maybe_cleanup.lua removes the number last given if no ticket is in line. The
-- ZSET is gone by itself then; foreign entries in it are kept.
--
-- KEYS  queue, seq
-- ARGV  owners, notifier
-- Returns {'ok', ''} or {'crowded', ''}

local empty = true
local foreign = walk(function()
  empty = false
  return true
end)
local number = given()
if not foreign then
  return crowded()
end
primary()
if empty and call('EXISTS', KEYS[2]) == 1 then
  forget(number, micros())
end
return { 'ok', '' }
