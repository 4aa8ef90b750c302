-- cleanup-stale.lua removes the dead heads and tells the new head.
--
-- KEYS  queue, seq
-- ARGV  the caller's hub
-- Returns {'ok', message}, {'again', message} or {'crowded', ''}

local line = survey()
if not line then
  return { 'crowded', '' }
end
primary()
evict(line)
shorten(line)
return { line.more and 'again' or 'ok', news(tell(line, ARGV[1]), line) }
