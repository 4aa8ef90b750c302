-- release_together.lua takes tickets out of an exclusive line together, which are its
-- first, in order, and tells the one behind them. It is release_next.lua for each of
-- them, one after the other, but tells none of those that leave themselves.
--
-- If one of them is not the usual case, the answer is "alone", before anything is
-- written: each is to be sent by itself then.
--
-- KEYS  queue, seq, the lease of each
-- ARGV  notifier, 0, 0 or 1, the entry of each
-- Returns {the entry of each but the first, and of the one behind the last, news}, or
--   'alone'

local call = redis.call
local count = #KEYS - 2
local entries = call('ZRANGE', KEYS[1], 0, count, 'WITHSCORES')
if not entries[2 * count + 1] then
  return 'alone'
end
local answer, token = {}, nil
for i = 0, count do
  local member = entries[2 * i + 1]
  local digits
  digits, token = string.match(member, '^([1-9]%d*):([^:]+):%d+$')
  local number = tonumber(digits)
  if i < count and member ~= ARGV[4 + i] or #member > 256
    or not number or number > 9007199254740991 or number ~= tonumber(entries[2 * i + 2]) then
    return 'alone'
  end
  answer[i] = member
end
local keys = { unpack(KEYS, 3) }
keys[count + 1] = string.sub(KEYS[1], 1, -6) .. 'lease:' .. token
local values = call('MGET', unpack(keys))
for i = 1, count + 1 do
  if not values[i] or string.match(values[i], '^(%S+) %d+ 0 %- ') ~= answer[i - 1] then
    return 'alone'
  end
end
local next = answer[count]
call('ZREM', KEYS[1], unpack(ARGV, 4))
call('DEL', unpack(KEYS, 3))
answer[count + 1] = ''
local to = string.match(token, '^([^.]+)%.')
if to == ARGV[1] then
  answer[count + 1] = { 1, next }
elseif to then
  redis.pcall('PUBLISH', 'fifolock:' .. to, next)
end
return answer
