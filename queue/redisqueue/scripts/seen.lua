-- seen.lua says on which server a notifier's subscription is seen.
--
-- KEYS  absent
-- ARGV  the notifier, its channel
-- Returns the server's run id, '' if the subscription is not seen here, or the error of what
--   presence.lua does and this server refuses, for now or to this user

local function refused(...)
  local answer = redis.pcall(...)
  return type(answer) == 'table' and answer.err and answer
end

local subscribers = redis.pcall('PUBSUB', 'NUMSUB', ARGV[2])
if subscribers.err then
  return subscribers
end
if subscribers[2] == 0 then
  return ''
end
-- HDEL first: a script that has written may use memory that the server has not.
local why = refused('HLEN', KEYS[1]) or refused('HGET', KEYS[1], ARGV[1]) or refused('HDEL', KEYS[1], ARGV[1])
  or refused('HSET', KEYS[1], ARGV[1], 0) or refused('HDEL', KEYS[1], ARGV[1])
if why then
  return why
end
local info = redis.pcall('INFO', 'server')
return type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
