#!lua flags=allow-oom
-- Reads a source's group under the nonce of its lease: a reader that another one has followed gets nothing, so nothing
-- is ever pending that was read out of turn.
--
-- KEYS: 1 the source's lease, 2 the source. ARGV: 1 nonce, 2 entries at most, 3 '>' or an id: what is pending behind it
-- Answers {'OK', what XREADGROUP answers, how many readers there were} or {'FENCED', node}.
local owner = redis.call('HMGET', KEYS[1], 'nonce', 'node', 'readers')
if owner[1] ~= ARGV[1] then
  return {'FENCED', owner[2] or ''}
end
local read = redis.call('XREADGROUP', 'GROUP', 'outbound', 'outbound', 'COUNT', ARGV[2], 'STREAMS', KEYS[2], ARGV[3])
return {'OK', read, owner[3] or '0'}
