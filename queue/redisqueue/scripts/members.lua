-- members.lua lists a page of the tickets in line and changes nothing.
--
-- KEYS  queue, seq
-- ARGV  the number after which the page begins, how many entries to look at
-- Returns {'ok', the server's time in milliseconds, the number after which the
--   next page begins or '' if there is none, an array of three elements for
--   each ticket: entry, what its lease says ('' if it is dead), milliseconds
--   left of its lease, ''}

primary()
local entries = call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], MAX, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local tickets = {}
for i = 1, #entries, 2 do
  local number, token = parse(entries[i], entries[i + 1])
  if number then
    local key = leaseKey(token)
    tickets[#tickets + 1] = entries[i]
    tickets[#tickets + 1] = lease(key, entries[i]) or ''
    tickets[#tickets + 1] = call('PTTL', key)
  end
end
local after = ''
if #entries == 2 * tonumber(ARGV[2]) then
  after = entries[#entries]
end
local time = call('TIME')
return { 'ok', math.floor(time[1] * 1000 + time[2] / 1000), after, tickets, '' }
