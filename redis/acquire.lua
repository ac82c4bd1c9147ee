#!lua flags=allow-oom
-- Takes a shard's lease, unless somebody else's lives, and reads the mails that are owed.
-- allow-oom: a full Redis must not keep the shard from the node that would empty it.
--
-- KEYS: 1 owner, 2 outbox
-- ARGV: 1 node, 2 nonce (new), 3 lease in ms, 4 what this process' nonces begin with,
--       5 '1' when this process never held the shard: a live lease of its node is a crashed predecessor's
-- Answers {'OK', head, outbox} or {'HELD', node, remaining ms}.
--
-- Taking it twice with one nonce is taking it once, so a lost answer is asked for again.
local owner = redis.call('HMGET', KEYS[1], 'node', 'nonce', 'head', 'expiry')
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local remaining = tonumber(owner[4] or '0') - now
local same_node = owner[1] == ARGV[1]
local same_process = owner[2] and string.sub(owner[2], 1, #ARGV[4]) == ARGV[4]

if remaining > 0 and not (same_node and (same_process or ARGV[5] == '1')) then
  return {'HELD', owner[1], string.format('%.0f', remaining)}
end

local head = owner[3] or '0'
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'nonce', ARGV[2], 'head', head,
  'expiry', string.format('%.0f', now + tonumber(ARGV[3])))
return {'OK', head, redis.call('HGETALL', KEYS[2])}
