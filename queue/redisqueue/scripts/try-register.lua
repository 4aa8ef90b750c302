-- try-register.lua takes a number if nobody is in line, in one step. The dead
-- do not count; they are removed.
--
-- KEYS  queue, seq, lease
-- ARGV  token, lease in milliseconds, for how many milliseconds the other keys
--       last, what the lease says after the entry, the caller's hub
-- Returns {'ok', entry, 0, message}, {'busy', message}, {'again', message},
--   {'crowded', ''}, {'exhausted', ''} or {'refused', ''}; or the entry of a
--   head, see first.lua

local last = highest()
local line = last and survey()
if not line then
  return { 'crowded', '' }
end
if line.head and line.token == ARGV[1] then
  return { 'ok', line.head, 0, '' }
end
if line.head or line.more then
  primary()
  evict(line)
  shorten(line)
  return { line.head and 'busy' or 'again', news(tell(line, ARGV[5]), line) }
end
return enrol(line, last, ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5])
