#!lua
-- Fixes the format and the number of shards at the first start. KEYS: 1 meta. ARGV: 1 format, 2 shards.
-- Answers what is stored from now on.
redis.call('HSETNX', KEYS[1], 'format', ARGV[1])
redis.call('HSETNX', KEYS[1], 'shards', ARGV[2])
return redis.call('HMGET', KEYS[1], 'format', 'shards')
