-- abandon.lua takes back a registration whose outcome the client does not
-- know. If it was executed, its ticket leaves the line; whether or not, a mark
-- is left in the place of its lease, so that the same request is refused when
-- it arrives late.
--
-- KEYS  queue, seq, lease
-- ARGV  for how many milliseconds the mark stays (0: leave none), the caller's hub
-- Returns {'ok', message}

local value = call('GET', KEYS[3])
local member = value and string.match(value, '^%S+')
local answer = { 'ok', '' }
if member then
  answer[2] = leave(member, ARGV[2], true)[2]
end
-- Without memory for the mark, the removal stands all the same.
if tonumber(ARGV[1]) > 0 then
  redis.pcall('SET', KEYS[3], '', 'PX', ARGV[1])
end
return answer
