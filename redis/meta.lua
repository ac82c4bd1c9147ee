#!lua
-- Fixes the format and the number of shards at the first start, or again where they were lost, and raises the format once
-- every node reads it.
-- KEYS: 1 meta. ARGV: 1 format, 2 shards, 3 'raise' where a lower format is to be raised, else '', then for each key that
-- seals something its field and its print
-- Answers what is stored from now on.
redis.call('HSETNX', KEYS[1], 'format', ARGV[1])
redis.call('HSETNX', KEYS[1], 'shards', ARGV[2])
for i = 4, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
end
local stored = tonumber(redis.call('HGET', KEYS[1], 'format'))
if ARGV[3] == 'raise' and stored and stored < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'format', ARGV[1])
end
return redis.call('HMGET', KEYS[1], 'format', 'shards')
