-- release.lua takes a ticket out of the line, together with the dead among those
-- that own, tells those that own now, and removes every key of a line that has become
-- empty.
--
-- It also takes back a registration whose outcome the client does not know, or that
-- was sent more than once: then a mark is left in the place of the lease, so that a
-- request that arrives late is refused; and if the lease is of another entry of the
-- same token, which such a request has taken, that leaves as well. Otherwise it
-- touches no entry and no lease but the ticket's own.
--
-- KEYS  queue, seq, lease
-- ARGV  owners, notifier, entry (empty if it is not known), for how many milliseconds
--       the mark stays (0: none), 1 to remove the keys of an empty line
-- Returns {'ok', the first entry that owns now and did not before or '', news} or
--   {'gone', as with ok, news}; or 1, see release_fast.lua

local value = call('GET', KEYS[3])
local named = value and string.match(value, '^%S+')
local entry = ARGV[3] ~= '' and ARGV[3] or named or ''
local mark = tonumber(ARGV[4]) > 0
local other = mark and named ~= entry and named or nil
local line = survey(entry, other)
local number, clock = 0, 0
local last = ARGV[5] == '1' and line and line.living == 0 and not line.more
if last then
  -- seq may be damaged: the number of the ticket that leaves is known all the same.
  number = math.max(given(), parse(entry, call('ZSCORE', KEYS[1], entry) or '') or 0)
  clock = micros()
end
if mark or entry == '' then
  -- A replica must not say that a ticket is gone. And without memory the first write alone
  -- would be refused, which would be that of the mark.
  primary()
else
  present()
end
local gone = entry == '' or call('ZREM', KEYS[1], entry) == 0
if other then
  call('ZREM', KEYS[1], other)
end
if mark then
  call('SET', KEYS[3], '', 'PX', ARGV[4])
elseif named == entry then
  call('DEL', KEYS[3])
end
if gone and not other then
  return { 'gone', '', '' }
end
-- A crowded line does not keep a ticket in it: the next is not found then, and not
-- told.
if not line then
  keep()
  return { gone and 'gone' or 'ok', '', '' }
end
evict(line)
if last then
  forget(number, clock)
end
return { gone and 'gone' or 'ok', line.granted[1] or '', news(line) }
