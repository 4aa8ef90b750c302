-- seen.lua says on which server a notifier's subscription is seen.
--
-- KEYS  absent
-- ARGV  the notifier, its channel
-- Returns the server's run id, or '' if the subscription is not seen here, or the user
--   may not do all that presence.lua does

local function refused(...)
  local answer = redis.pcall(...)
  return type(answer) == 'table' and answer.err
end

local subscribers = redis.pcall('PUBSUB', 'NUMSUB', ARGV[2])
if subscribers.err or subscribers[2] == 0 then
  return ''
end
-- HDEL first: a script that has written may use memory that the server has not.
if refused('HLEN', KEYS[1]) or refused('HGET', KEYS[1], ARGV[1]) or refused('HDEL', KEYS[1], ARGV[1])
  or refused('HSET', KEYS[1], ARGV[1], 0) or refused('HDEL', KEYS[1], ARGV[1]) then
  return ''
end
local info = redis.pcall('INFO', 'server')
return type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
