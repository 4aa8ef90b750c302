-- seen.lua says on which server a notifier's subscription is seen.
--
-- ARGV  the notifier's channel
-- Returns the server's run id, or '' if the subscription is not seen here, or the user
--   may not ask

local subscribers = redis.pcall('PUBSUB', 'NUMSUB', ARGV[1])
if subscribers.err or subscribers[2] == 0 then
  return ''
end
local info = redis.pcall('INFO', 'server')
return type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
