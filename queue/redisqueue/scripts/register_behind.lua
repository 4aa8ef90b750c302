-- register_behind.lua stands behind register_fast.lua: a ticket that joins a line whose
-- owners are alive and of the caller's view, which is every contended Lock and nearly
-- every Acquire. It is the general way cut short, as register_fast.lua is: the functions
-- of lib.lua alone cost as much as half of what is done here. What is not as it nearly
-- always is goes the general way: a token with a space, too, of which a lease says only
-- the first word; and keys without an end, see lasting in lib.lua.
--
-- It does not look at presences: a line in which crash detection is used goes the
-- general way, too.
local owners = math.max(1, tonumber(ARGV[1]))
local front = owners <= 1000 and ARGV[#ARGV] == '' and call('ZRANGE', KEYS[1], 0, owners - 1, 'WITHSCORES')
local last = front and front[1] and call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last and #last[1] <= 256 then
  local keys, usual = { KEYS[2] }, true
  for i = 1, #front, 2 do
    local digits, token = string.match(front[i], '^([1-9]%d*):([^:%s]+):%d+$')
    usual = usual and digits == front[i + 1] and #front[i] <= 256
    keys[#keys + 1] = string.sub(KEYS[1], 1, -6) .. 'lease:' .. (token or '')
  end
  local digits = string.match(last[1], '^([1-9]%d*):[^:]+:%d+$')
  local highest = tonumber(digits)
  if usual and digits == last[2] then
    local values = call('MGET', unpack(keys))
    local terms = '^ %d+ ' .. ARGV[1] .. ' %- '
    for i = 2, #keys do
      local value, entry = values[i], front[2 * i - 3]
      usual = usual and value and string.sub(value, 1, #entry) == entry and string.find(value, terms, #entry + 1)
    end
    local given = values[1] and string.find(values[1], '^[1-9]%d*$') and tonumber(values[1])
    if usual and given then
      local time = call('TIME')
      local clock = time[1] * 1000000 + time[2]
      local number = math.max(given + 1, highest + 1, clock)
      local line_left, seq_left = call('PTTL', KEYS[1]), call('PTTL', KEYS[2])
      digits = string.format('%.0f', number)
      local member = string.format('%s:%s:%.0f', digits, ARGV[3], math.floor(clock / 1000))
      if number <= 9007199254740991 and line_left >= 0 and seq_left >= 0 and call('SET', KEYS[3], member .. ARGV[6], 'NX', 'PX', ARGV[4]) then
        call('ZADD', KEYS[1], digits, member)
        call('SET', KEYS[2], digits, 'KEEPTTL')
        if line_left < ARGV[5] * 3 / 4 then
          call('PEXPIRE', KEYS[1], ARGV[5])
        end
        local early = math.max(0, number - clock) / 1000
        if seq_left - early < ARGV[5] * 3 / 4 then
          call('PEXPIRE', KEYS[2], string.format('%.0f', ARGV[5] + early))
        end
        if #front < 2 * owners then
          return { 'ok', member, 0, '', '' }
        end
        return { 'ok', member, call('ZRANK', KEYS[1], member) - owners + 1, last[1], '' }
      end
    end
  end
end

