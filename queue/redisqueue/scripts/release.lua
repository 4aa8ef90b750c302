-- release.lua takes a ticket out of the line, tells the next, and removes every
-- key of a line that has become empty.
--
-- KEYS  queue, seq, lease
-- ARGV  entry, the caller's hub, 1 to remove the keys of an empty line
-- Returns {'ok', message} or {'gone', ''}; or 1, see last.lua

call('GET', KEYS[3])
return leave(ARGV[1], ARGV[2], ARGV[3] == '1')
