-- refresh.lua shows that a ticket's owner is alive: its lease lasts again for as
-- long as it was made. It makes nothing that is not there, and needs no memory.
--
-- Like every look at the line it removes the dead: for a waiter behind many
-- dead, its heartbeat may be the first look.
--
-- KEYS  queue, seq, lease
-- ARGV  owners, notifier, entry, the presence for the ticket's lease (- to leave
--       it as it is, as that of another server does: a request that is late must not take
--       back that of a later one)
-- Returns {'ok', behind, news}, {'again', behind, news} or {'gone', news}, where behind is
-- the longest lease, in milliseconds, of those that own by the ticket's own view, if it does
-- not; 0 if it does, or if that is not known: one of them may last for longer than it was
-- made (see believed).

local line = survey()
local value = lease(KEYS[3], ARGV[3])
local alive = value and queued(ARGV[3])
local number = given()
primary()
local behind = 0
if alive then
  local length, owners = terms(value)
  owners = math.max(1, owners)
  if line and not line.more and owners <= OWNERS and (line.place[ARGV[3]] or owners) >= owners and believed(line) >= 0 then
    for i = 1, math.min(owners, line.living) do
      behind = math.max(behind, terms(line.values[i]) or 0)
    end
  end
  if length then
    local left = call('PTTL', KEYS[2])
    local ahead_of_clock = left < 0 and early(number, micros()) or 0
    local before, presence, after = string.match(value, '^(%S+ %d+ %d+ )(%S+)( .*)$')
    local run = string.match(ARGV[4], '^%x+')
    if presence and presence ~= ARGV[4] and run and here(run) then
      call('SET', KEYS[3], before .. ARGV[4] .. after, 'XX', 'KEEPTTL')
    end
    call('PEXPIRE', KEYS[3], length)
    lasting(KEYS[1], call('PTTL', KEYS[1]), 2 * length, 0)
    lasting(KEYS[2], left, 2 * length, ahead_of_clock)
  end
end
local last = ''
if line then
  evict(line)
  last = news(line)
else -- a crowded line keeps no ticket from staying in it
  keep()
end
if not alive then
  return { 'gone', last }
end
return { line and line.more and 'again' or 'ok', behind, last }
