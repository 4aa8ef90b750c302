-- leave.lua stands in front of release.lua and abandon.lua.

-- leave takes an entry out of the line and drops its lease, together with the
-- dead in front of the next, and tells that one. If cleanup is true and nobody
-- is left, it removes every key. It returns a script's whole answer.
--
-- A crowded line (survey returns nil) does not keep a ticket in it: the next
-- is not found then, and not told.
local function leave(member, hub, cleanup)
  local line = survey(member)
  if not (line and line.met) and not call('ZSCORE', KEYS[1], member) then
    call('DEL', KEYS[3])
    return { 'gone', '' }
  end
  local last = cleanup and line and not line.head and not line.more
  if last then
    call('GET', KEYS[2])
    if line.met and line.foreign == 0 and #line.dead == 0 then
      call('DEL', KEYS[1], KEYS[2], KEYS[3])
      return { 'ok', '' }
    end
  end
  call('ZREM', KEYS[1], member)
  call('DEL', KEYS[3])
  if not line then
    return { 'ok', '' }
  end
  evict(line)
  if last then
    call('DEL', KEYS[2])
  end
  return { 'ok', news(tell(line, hub), line) }
end
