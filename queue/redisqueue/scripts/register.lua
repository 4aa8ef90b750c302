-- register.lua takes the next number and stands in line, in one step. A token
-- has one ticket however often this is called with it.
--
-- KEYS  queue, seq, lease
-- ARGV  owners, notifier, and see join.lua
-- Returns {'ok', entry, how many must leave before it owns (0: it owns), the entry
--     directly in front or '' if that is not known, news},
--   {'again', news}, {'crowded', ''}, {'exhausted', ''}, {'refused', ''} or
--   {'kind', owners of the first, ''}; or the entry of an owner, see
--   register_fast.lua

local last, before, behind = highest()
local line = last and survey()
if not line then
  return crowded()
end
local refusal = other(line)
if refusal then
  return refusal
end
if line.more then
  primary()
  evict(line)
  return { 'again', news(line) }
end
return join(line, last, before, behind)
