-- release_next.lua stands behind release_fast.lua: the owner of an exclusive line leaves,
-- and the next is alive, which is every contended Unlock. It is the general way cut short;
-- see register_behind.lua.
if entries[1] == ARGV[3] and entries[2] and ARGV[1] == '0' and ARGV[4] == '0' and ARGV[#ARGV] == '' then
  local next = entries[2]
  local digits, token = string.match(next, '^([1-9]%d*):([^:]+):%d+$')
  local number = #next <= 256 and tonumber(digits)
  if number and number <= 9007199254740991 and number == tonumber(call('ZSCORE', KEYS[1], next)) then
    local values = call('MGET', KEYS[3], string.sub(KEYS[1], 1, -6) .. 'lease:' .. token)
    if values[1] and string.sub(values[1], 1, #ARGV[3] + 1) == ARGV[3] .. ' '
      and values[2] and string.match(values[2], '^(%S+) %d+ 0 %- ') == next then
      call('ZREM', KEYS[1], ARGV[3])
      call('DEL', KEYS[3])
      local to = string.match(token, '^([^.]+)%.')
      if to == ARGV[2] then
        return { 'ok', next, { 1, next } }
      elseif to then
        redis.pcall('PUBLISH', 'fifolock:' .. to, next)
      end
      return { 'ok', next, '' }
    end
  end
end

