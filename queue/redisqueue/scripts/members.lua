-- members.lua lists a page of the tickets in line and changes nothing.
--
-- KEYS  queue, seq
-- ARGV  owners, notifier, the score with which the page begins, how many entries of
--       that score to pass over, how many entries to look at
-- Returns {'ok', the server's time in milliseconds, the score with which the next
--   page begins or '' if there is none, how many entries of that score to pass over,
--   an array of four elements for each ticket: entry, its lease's value ('' if it
--   is dead), milliseconds left of its lease, the time at which its process was marked
--   as absent, or 0, or -1 if its process was seen by another server and not by this one,
--   ''}

local count = tonumber(ARGV[5])
local entries = call('ZRANGEBYSCORE', KEYS[1], ARGV[3], MAX, 'WITHSCORES', 'LIMIT', ARGV[4], count)
local tickets = {}
for i = 1, #entries, 2 do
  local number, token = parse(entries[i], entries[i + 1])
  if number then
    local key = leaseKey(token)
    local value = lease(key, entries[i])
    local _, since = absent(token, value or '')
    local run = armed(value or '')
    tickets[#tickets + 1] = entries[i]
    tickets[#tickets + 1] = value or ''
    tickets[#tickets + 1] = call('PTTL', key)
    tickets[#tickets + 1] = since or run and not here(run) and -1 or 0
  end
end
primary()
local after, over = '', 0
if #entries == 2 * count then
  after = entries[#entries]
  if parse(entries[#entries - 1], after) then -- its score is its own, and it may leave meanwhile
    after = '(' .. after
  else
    for i = 2, #entries, 2 do
      over = over + (entries[i] == after and 1 or 0)
    end
    over = over + (after == ARGV[3] and tonumber(ARGV[4]) or 0)
  end
end
return { 'ok', math.floor(micros() / 1000), after, over, tickets, '' }
