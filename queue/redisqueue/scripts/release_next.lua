-- release_next.lua stands behind release_fast.lua: an owner leaves, and those that own
-- with it and the next are alive and of the same view, which is every contended Unlock
-- and nearly every Release. It is the general way cut short; see register_behind.lua.
local owners = math.max(1, tonumber(ARGV[1]))
if entries[3] and owners <= 1000 and ARGV[4] == '0' and ARGV[#ARGV] == '' then
  if owners > 1 then
    entries = call('ZRANGE', KEYS[1], 0, owners, 'WITHSCORES')
  end
  local keys, place, digits, token, usual = {}, nil, nil, nil, true
  for i = 1, #entries, 2 do
    digits, token = string.match(entries[i], '^([1-9]%d*):([^:%s]+):%d+$')
    usual = usual and digits == entries[i + 1] and #entries[i] <= 256
    keys[#keys + 1] = string.sub(KEYS[1], 1, -6) .. 'lease:' .. (token or '')
    if entries[i] == ARGV[3] then
      place = #keys
    end
  end
  if usual and tonumber(digits) <= 9007199254740991 and place and place <= owners then
    local values = call('MGET', unpack(keys))
    local terms = '^ %d+ ' .. ARGV[1] .. ' %- '
    for i = 1, #keys do
      local value, entry = values[i], entries[2 * i - 1]
      usual = usual and value and string.sub(value, 1, #entry) == entry and string.find(value, terms, #entry + 1)
    end
    if usual then
      call('ZREM', KEYS[1], ARGV[3])
      call('DEL', KEYS[3])
      local next = entries[2 * owners + 1]
      if not next then
        return { 'ok', '', '' }
      end
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

