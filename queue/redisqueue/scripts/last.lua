-- last.lua stands in front of everything in release.lua: the last ticket of a
-- queue, with which all keys go. It is the general way cut short, as first.lua
-- is; its answer is 1. MGET says nothing of a key of the wrong type, so that
-- two values are also the check of the types.
local call = redis.call
local entries = call('ZRANGE', KEYS[1], 0, 1)
if entries[1] == ARGV[1] and not entries[2] and ARGV[3] == '1' then
  local values = call('MGET', KEYS[2], KEYS[3])
  if values[1] and values[2] then
    call('DEL', KEYS[1], KEYS[2], KEYS[3])
    return 1
  end
end

