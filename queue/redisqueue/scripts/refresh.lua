-- refresh.lua shows that a ticket's owner is alive. It makes nothing that is
-- not there, and needs no memory.
--
-- Like every look at the line it removes the dead heads: of those who wait
-- behind many dead, the heartbeat may be the one that comes by first.
--
-- KEYS  queue, seq, lease
-- ARGV  entry, lease in milliseconds, for how many milliseconds the other keys
--       last, the caller's hub
-- Returns {'ok', message}, {'again', message} or {'gone', message}

local line = survey()
primary()
local alive = lease(KEYS[3], ARGV[1]) and queued(ARGV[1])
call('GET', KEYS[2])
if alive then
  call('PEXPIRE', KEYS[3], ARGV[2])
  lasting(KEYS[1], tonumber(ARGV[3]))
  lasting(KEYS[2], tonumber(ARGV[3]))
end
local message = ''
if line then -- a crowded line keeps nobody from staying in it
  evict(line)
  message = news(tell(line, ARGV[4]), line)
end
if not alive then
  return { 'gone', message }
end
return { line and line.more and 'again' or 'ok', message }
