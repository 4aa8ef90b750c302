-- try_register.lua takes a number if fewer are in line than may own, in one step.
-- The dead do not count; they are removed.
--
-- KEYS  queue, seq, lease
-- ARGV  owners, notifier, and see join.lua
-- Returns {'ok', entry, 0, '', news}, {'busy', for how long the owners are believed
--     as in position.lua, news}, {'again', news}, {'crowded', ''},
--   {'exhausted', ''}, {'refused', ''} or {'kind', owners of the first, ''}; or the
--   entry of an owner, see register_fast.lua

local last, before, behind = highest()
local line = last and survey()
if not line then
  return crowded()
end
local refusal = other(line)
if refusal then
  return refusal
end
if line.living >= OWNERS then
  primary()
  for i = 1, OWNERS do
    if line.keys[i] == KEYS[3] then -- the request was executed before
      return { 'ok', string.match(line.values[i], '^%S+'), 0, '', '' }
    end
  end
  local milliseconds = believed(line)
  evict(line)
  return { 'busy', milliseconds, news(line) }
end
if line.more then
  primary()
  evict(line)
  return { 'again', news(line) }
end
return join(line, last, before, behind)
