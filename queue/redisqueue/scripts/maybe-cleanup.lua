-- maybe-cleanup.lua removes the number last given if no ticket is in line. The
-- ZSET is gone by itself then; foreign entries in it are kept.
--
-- KEYS  queue, seq
-- Returns {'ok', ''} or {'crowded', ''}

local empty = true
local foreign = walk(function()
  empty = false
  return true
end)
if not foreign then
  return { 'crowded', '' }
end
if empty and call('GET', KEYS[2]) then
  call('DEL', KEYS[2])
end
return { 'ok', '' }
