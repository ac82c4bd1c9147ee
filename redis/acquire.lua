#!lua flags=allow-oom
-- Takes a shard's lease, unless somebody else's lives, and reads the mails that are owed.
-- allow-oom: a full Redis must not keep the shard from the node that would empty it.
--
-- KEYS: 1 owner, 2 outbox, 3 bookmark
-- ARGV: 1 node, 2 nonce (new), 3 lease in ms, 4 what this process' nonces begin with,
--       5 '1' when this process never held the shard: a live lease of its node is a crashed predecessor's,
--       6 the mark of a lease that the caller saw unrenewed for as long as it is, or ''
-- Answers {'OK', head, outbox, bookmark or ''} or {'HELD', node, remaining ms, mark, the lease in ms}.
--
-- No lease is believed to last longer than it is: a clock that was set back would make one end hours from now.
-- Every renewal changes its mark, so one whose mark stays the same for as long as it is has ended.
--
-- Taking it twice with one nonce is taking it once, so a lost answer is asked for again.
local function damaged(key)
  return redis.error_reply('ERR ' .. key .. ' is damaged, so its shard is held by nobody: delete it with DEL ' .. key)
end

local owner = redis.pcall('HMGET', KEYS[1], 'node', 'nonce', 'head', 'expiry', 'lease')
if owner.err then
  return string.find(owner.err, 'WRONGTYPE', 1, true) and damaged(KEYS[1]) or owner
end
if not tonumber(owner[3] or '0') or not tonumber(owner[4] or '0') then
  return damaged(KEYS[1])
end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local remaining = tonumber(owner[4] or '0') - now
local mark = table.concat({owner[2] or '', owner[3] or '', owner[4] or ''}, '/')
-- A record of an older program does not say how long its lease is.
local lease = tonumber(owner[5]) or tonumber(ARGV[3])
local same_node = owner[1] == ARGV[1]
local same_process = owner[2] and string.sub(owner[2], 1, #ARGV[4]) == ARGV[4]

if remaining > 0 and mark ~= ARGV[6] and not (same_node and (same_process or ARGV[5] == '1')) then
  return {'HELD', owner[1], string.format('%.0f', math.min(remaining, lease)), mark, string.format('%.0f', lease)}
end

-- Before the lease is taken, which nobody would give back.
local outbox = redis.pcall('HGETALL', KEYS[2])
if outbox.err then
  return string.find(outbox.err, 'WRONGTYPE', 1, true) and damaged(KEYS[2]) or outbox
end
local head = owner[3] or '0'
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'nonce', ARGV[2], 'head', head,
  'lease', ARGV[3], 'expiry', string.format('%.0f', now + tonumber(ARGV[3])))
-- A key of another type must keep nobody from the shard, which is read from its start then.
local bookmark = redis.pcall('GET', KEYS[3])
return {'OK', head, outbox, type(bookmark) == 'string' and bookmark or ''}
