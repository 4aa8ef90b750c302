-- register_together.lua takes the next numbers for tickets that join an exclusive line
-- together, and puts them in line, in one step. It is register_behind.lua for each of
-- them, one after the other, but reads once the keys that they share.
--
-- If one of them is not the usual case, the answer is "alone", before anything is
-- written: each is to be sent by itself then. A lease that is there already is not
-- usual: the request may have been executed before, or refused.
--
-- KEYS  queue, seq, the lease of each
-- ARGV  notifier, lease in milliseconds, for how many milliseconds the other keys last,
--       the value of a lease after the entry, the token of each
-- Returns {how many must leave before the first of them owns, the entry directly in
--   front of it, the entry of each}, or 'alone'

local call = redis.call
local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local last = first[1] and call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not last or #first[1] > 256 or #last[1] > 256 then
  return 'alone'
end
local digits, token = string.match(first[1], '^([1-9]%d*):([^:]+):%d+$')
local lowest = tonumber(digits)
digits = string.match(last[1], '^([1-9]%d*):[^:]+:%d+$')
local highest = tonumber(digits)
if not lowest or lowest ~= tonumber(first[2]) or not highest or highest ~= tonumber(last[2]) then
  return 'alone'
end
local values = call('MGET', KEYS[2], string.sub(KEYS[1], 1, -6) .. 'lease:' .. token)
local seq, value = values[1], values[2]
local given = seq and string.find(seq, '^[1-9]%d*$') and tonumber(seq)
if not given or not value or string.match(value, '^(%S+) %d+ 0 %- ') ~= first[1] then
  return 'alone'
end
local time = call('TIME')
local clock = time[1] * 1000000 + time[2]
local count = #KEYS - 2
local before = math.max(given, highest, clock - 1)
local number = before + count
local line_left, seq_left = call('PTTL', KEYS[1]), call('PTTL', KEYS[2])
if number > 9007199254740991 or call('EXISTS', unpack(KEYS, 3)) ~= 0 or line_left < 0 or seq_left < 0 then
  return 'alone'
end
local millis = string.format('%.0f', math.floor(clock / 1000))
local answer, added = { 0, last[1] }, {}
for i = 1, count do
  digits = string.format('%.0f', before + i)
  local member = digits .. ':' .. ARGV[4 + i] .. ':' .. millis
  call('SET', KEYS[2 + i], member .. ARGV[4], 'PX', ARGV[2])
  added[2 * i - 1], added[2 * i] = digits, member
  answer[2 + i] = member
end
call('ZADD', KEYS[1], unpack(added))
call('SET', KEYS[2], digits, 'KEEPTTL')
if line_left < ARGV[3] * 3 / 4 then
  call('PEXPIRE', KEYS[1], ARGV[3])
end
local early = math.max(0, number - clock) / 1000
if seq_left - early < ARGV[3] * 3 / 4 then
  call('PEXPIRE', KEYS[2], string.format('%.0f', ARGV[3] + early))
end
answer[1] = call('ZRANK', KEYS[1], added[2])
return answer
