#!lua flags=allow-oom
-- Takes or renews the lease of a source's reader, or ends it.
--
-- KEYS: 1 the source's lease. ARGV: 1 node, 2 nonce (one a process), 3 lease in ms, 0 to end it
-- Answers {'OK'} or {'HELD', node}.
--
-- A lease that ends later than it is long was made before the clock was set back; nobody waits for that. Nothing
-- depends on this: what was handed over once is refused by the shards, and a group is read under the nonce only.
local owner = redis.call('HMGET', KEYS[1], 'node', 'nonce', 'expiry', 'lease', 'readers')
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local remaining = tonumber(owner[3] or '0') - now
local lives = remaining > 0 and remaining <= tonumber(owner[4] or ARGV[3])
if ARGV[3] == '0' then
  if owner[2] == ARGV[2] then
    redis.call('HSET', KEYS[1], 'expiry', '0')
  end
  return {'OK'}
end
if lives and owner[2] ~= ARGV[2] and owner[1] ~= ARGV[1] then
  return {'HELD', owner[1]}
end
if owner[2] ~= ARGV[2] then
  -- What another reader was given and did not acknowledge comes before anything new.
  redis.call('HSET', KEYS[1], 'readers', string.format('%.0f', tonumber(owner[5] or '0') + 1))
end
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'nonce', ARGV[2], 'lease', ARGV[3],
  'expiry', string.format('%.0f', now + tonumber(ARGV[3])))
return {'OK'}
