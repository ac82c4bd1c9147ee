#!lua flags=no-writes
-- Whether the shard is still held under a nonce: asked first on every new connection.
--
-- KEYS: 1 owner. ARGV: 1 nonce, 2 head that was acknowledged.
-- Answers {'OK'}, {'FENCED', node} or {'HEAD', head}.
local owner = redis.call('HMGET', KEYS[1], 'nonce', 'head', 'node')
if not owner[1] then
  return {'HEAD', '0'}
end
if owner[1] ~= ARGV[1] then
  return {'FENCED', owner[3]}
end
if tonumber(owner[2]) < tonumber(ARGV[2]) then
  return {'HEAD', owner[2]}
end
return {'OK'}
