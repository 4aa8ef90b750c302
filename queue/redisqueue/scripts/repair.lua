-- repair.lua makes leases that last for longer than they were made last for that
-- long again (see believed in lib.lua): the dead would hold up the line otherwise,
-- and the owners do not know better. It goes from the back to the front, a bounded
-- number in each call, so that the owners, by which the need is seen, come last.
--
-- KEYS  queue, seq
-- ARGV  owners, notifier, how many entries from the back on are done
-- Returns {'ok', how many are done now, or -1 if all are, ''}

primary()
local from = tonumber(ARGV[3])
local entries = call('ZREVRANGE', KEYS[1], from, from + LIMIT - 1, 'WITHSCORES')
for i = 1, #entries, 2 do
  local number, token = parse(entries[i], entries[i + 1])
  local key = number and leaseKey(token)
  local said = key and redis.pcall('GET', key)
  local foreign = type(said) == 'table' and string.find(said.err, 'WRONGTYPE') -- it must not fail the rest
  local value = key and not foreign and lease(key, entries[i])
  local length = value and terms(value)
  local left = length and call('PTTL', key)
  if left and (left > length or left == -1) then
    call('PEXPIRE', key, length)
  end
end
return { 'ok', #entries < 2 * LIMIT and -1 or from + LIMIT, '' }
