-- Moves a rejected entry to the end of an input, its shard's or another one's on this server, in one step. A full Redis
-- refuses this script before it runs.
--
-- KEYS: 1 rejected, 2 messages. ARGV: 1 the entry's id among the rejected, then names and values
-- Answers the new entry's id, or nil when the rejected entry is gone.
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then
  return false
end
need('XADD', 'XDEL')
-- Appended first: whatever goes wrong, it is not lost.
local id = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 2))
redis.call('XDEL', KEYS[1], ARGV[1])
return id
