-- register.lua takes the next number and stands in line, in one step. A token
-- has one ticket however often this is called with it.
--
-- KEYS  queue, seq, lease
-- ARGV  token, lease in milliseconds, for how many milliseconds the other keys
--       last, what the lease says after the entry, the caller's hub
-- Returns {'ok', entry, how many are ahead (0: it is the head), message},
--   {'again', message}, {'crowded', ''}, {'exhausted', ''} or {'refused', ''};
--   or the entry of a head, see first.lua

local last = highest()
local line = last and survey()
if not line then
  return { 'crowded', '' }
end
if line.more then
  evict(line)
  return { 'again', news('', line) }
end
return enrol(line, last, ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5])
