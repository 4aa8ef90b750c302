-- register_fast.lua stands in front of everything in register.lua and
-- try_register.lua: the first ticket of a queue that has no keys, which is every
-- uncontended Lock. It is the general way cut short, to the least cost: it defines
-- no function, formats no number, and its answer is no array but the entry alone.
--
-- The absence of the keys is also the check of the types, and of the kind. Where
-- the token was used before, the general way finds out how.
local call = redis.call
if call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  local time = call('TIME')
  local micros = string.sub('00000' .. time[2], -6)
  local digits = time[1] .. micros
  local member = digits .. ':' .. ARGV[3] .. ':' .. time[1] .. string.sub(micros, 1, 3)
  if ARGV[#ARGV] ~= '' then -- the caller has crash detection: see presence.lua
    call('HDEL', string.sub(KEYS[1], 1, -6) .. 'absent', ARGV[2])
  end
  if call('SET', KEYS[3], member .. ARGV[6], 'NX', 'PX', ARGV[4]) then
    call('ZADD', KEYS[1], digits, member)
    call('PEXPIRE', KEYS[1], ARGV[5])
    call('SET', KEYS[2], digits, 'PX', ARGV[5])
    return member
  end
end

