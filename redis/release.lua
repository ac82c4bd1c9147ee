#!lua flags=allow-oom
-- Ends the lease at once. Done twice it is done once: the nonce stays until the next acquisition.
--
-- KEYS: 1 owner. ARGV: 1 nonce. Answers {'OK'}, {'FENCED', node} or, when nothing is left, {'HEAD', '0'}.
local owner = redis.call('HMGET', KEYS[1], 'nonce', 'node')
if not owner[1] then
  return {'HEAD', '0'}
end
if owner[1] ~= ARGV[1] then
  return {'FENCED', owner[2]}
end
redis.call('HSET', KEYS[1], 'expiry', '0')
return {'OK'}
