-- register_behind.lua stands behind register_fast.lua: a ticket that joins an exclusive
-- line whose first is alive, which is every contended Lock. It is the general way cut
-- short, as register_fast.lua is: the functions of lib.lua alone cost as much as half of
-- what is done here. What is not as it nearly always is goes the general way.
--
-- It does not look at presences: a line in which crash detection is used goes the
-- general way, too.
do
  local first = ARGV[1] == '0' and ARGV[#ARGV] == '' and call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  local last = first and first[1] and call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if last and #first[1] <= 256 and #last[1] <= 256 then
    local digits, token = string.match(first[1], '^([1-9]%d*):([^:]+):%d+$')
    local lowest = tonumber(digits)
    digits = string.match(last[1], '^([1-9]%d*):[^:]+:%d+$')
    local highest = tonumber(digits)
    if lowest and lowest == tonumber(first[2]) and highest and highest == tonumber(last[2]) then
      local values = call('MGET', KEYS[2], string.sub(KEYS[1], 1, -6) .. 'lease:' .. token)
      local seq, value = values[1], values[2]
      local given = seq and string.find(seq, '^[1-9]%d*$') and tonumber(seq)
      if given and value and string.match(value, '^(%S+) %d+ 0 %- ') == first[1] then
        local time = call('TIME')
        local clock = time[1] * 1000000 + time[2]
        local number = math.max(given + 1, highest + 1, clock)
        local line_left, seq_left = call('PTTL', KEYS[1]), call('PTTL', KEYS[2])
        digits = string.format('%.0f', number)
        local member = string.format('%s:%s:%.0f', digits, ARGV[3], math.floor(clock / 1000))
        if number <= 9007199254740991 and call('SET', KEYS[3], member .. ARGV[6], 'NX', 'PX', ARGV[4]) then
          call('ZADD', KEYS[1], digits, member)
          call('SET', KEYS[2], digits, 'KEEPTTL')
          if line_left < ARGV[5] * 3 / 4 then
            call('PEXPIRE', KEYS[1], ARGV[5])
          end
          local lasts = ARGV[5] + math.max(0, number - clock) / 1000
          if seq_left < lasts * 3 / 4 then
            call('PEXPIRE', KEYS[2], string.format('%.0f', lasts))
          end
          return { 'ok', member, call('ZRANK', KEYS[1], member), last[1], '' }
        end
      end
    end
  end
end

