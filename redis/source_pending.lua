#!lua flags=allow-oom
-- Gives our own consumer what other consumers of a source's group were given and did not acknowledge, under the nonce of
-- the lease.
--
-- KEYS: 1 the source's lease, 2 the source. ARGV: 1 nonce, 2 only what comes behind this id, 3 how many of a consumer at most
-- Answers {'OK', how many} or {'FENCED', node}.
local owner = redis.call('HMGET', KEYS[1], 'nonce', 'node')
if owner[1] ~= ARGV[1] then
  return {'FENCED', owner[2] or ''}
end
local taken = 0
for _, consumer in ipairs(redis.call('XPENDING', KEYS[2], 'outbound')[4] or {}) do
  if consumer[1] ~= 'outbound' then
    local ids = {}
    local pending = redis.call('XPENDING', KEYS[2], 'outbound', '(' .. ARGV[2], '+', ARGV[3], consumer[1])
    for _, entry in ipairs(pending) do
      ids[#ids + 1] = entry[1]
    end
    if #ids > 0 then
      taken = taken + #ids
      ids[#ids + 1] = 'JUSTID'
      redis.call('XCLAIM', KEYS[2], 'outbound', 'outbound', '0', unpack(ids))
    end
  end
end
return {'OK', taken}
