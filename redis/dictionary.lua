#!lua flags=allow-oom
-- Keeps a dictionary. What is kept is never changed, for entries name it.
-- allow-oom: it is small and there once, and a full Redis must not lose what its entries name.
--
-- KEYS: 1 dictionaries. ARGV: 1 version, 2 dictionary, 3 'offer' for a new one, 'keep' for one that entries name
-- Answers the dictionary that new entries are compressed with: that which was offered first.
local current = redis.call('HGET', KEYS[1], 'current')
if not current or redis.call('HEXISTS', KEYS[1], current) == 0 then
  current = ARGV[1]
  redis.call('HSET', KEYS[1], 'current', current)
end
if current == ARGV[1] or ARGV[3] == 'keep' then
  redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
end
return redis.call('HGET', KEYS[1], current)
