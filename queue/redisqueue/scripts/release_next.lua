-- release_next.lua stands behind release_fast.lua: the owner of an exclusive line leaves,
-- and the next is alive, which is every contended Unlock. It is the general way cut short;
-- see register_behind.lua.
if entries[1] == ARGV[3] and entries[3] and ARGV[1] == '0' and ARGV[4] == '0' and ARGV[#ARGV] == '' then
  local next = entries[3]
  local digits = string.match(ARGV[3], '^([1-9]%d*):[^:]+:%d+$')
  local lowest = tonumber(digits)
  local token
  digits, token = string.match(next, '^([1-9]%d*):([^:]+):%d+$')
  local number = tonumber(digits)
  if #ARGV[3] <= 256 and lowest and lowest == tonumber(entries[2])
    and #next <= 256 and number and number <= 9007199254740991 and number == tonumber(entries[4]) then
    local values = call('MGET', KEYS[3], string.sub(KEYS[1], 1, -6) .. 'lease:' .. token)
    if values[1] and string.match(values[1], '^(%S+) ') == ARGV[3]
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

