-- Reads a source's group under the nonce of its lease: a reader that another one has followed gets nothing, so nothing
-- is ever pending that was read out of turn. With a bound on bytes, as take.lua.
--
-- KEYS: 1 the source's lease, 2 the source. ARGV: 1 nonce, 2 '>' or an id: what is pending behind it, 3… see cut.lua
-- Answers {'OK', the entries as take.lua does, how many readers there were} or {'FENCED', node}.
local owner = redis.call('HMGET', KEYS[1], 'nonce', 'node', 'readers')
if owner[1] ~= ARGV[1] then
  return {'FENCED', owner[2] or ''}
end
local entries = take(function(count, last)
  local from = ARGV[2] ~= '>' and last or ARGV[2]
  local read = redis.call('XREADGROUP', 'GROUP', 'outbound', 'outbound', 'COUNT', count, 'STREAMS', KEYS[2], from)
  return read and read[1][2] or {}
end)
return {'OK', entries, owner[3] or '0'}
