-- release_fast.lua stands in front of everything in release.lua: the last ticket of
-- a queue, with which all keys go. It is the general way cut short, as
-- register_fast.lua is; its answer is 1. MGET says nothing of a key of the wrong
-- type, so that two values are also the check of the types.
--
-- seq goes only when the clock has passed it and the ticket: otherwise the next number
-- would be lower.
local call = redis.call
local entries = call('ZRANGE', KEYS[1], 0, 1, 'WITHSCORES')
if entries[1] == ARGV[3] and not entries[3] and ARGV[5] == '1' and ARGV[4] == '0' then
  local values = call('MGET', KEYS[2], KEYS[3])
  if values[1] and values[2] and string.match(values[2], '^(%S+) ') == ARGV[3] then
    local time = call('TIME')
    local given, clock = tonumber(values[1]), time[1] * 1000000 + time[2]
    if given and given < clock and tonumber(entries[2]) < clock then
      local absent = string.sub(KEYS[1], 1, -6) .. 'absent'
      if type(redis.pcall('DEL', KEYS[1], KEYS[2], KEYS[3], absent)) == 'table' then
        call('DEL', KEYS[1], KEYS[2], KEYS[3]) -- the slot is about to move, see forget
      end
      return 1
    end
  end
end

