#!lua flags=allow-oom
-- Ends the sessions of operators. KEYS: 1 meta. ARGV: 1 the field that counts how often that was done.
-- Answers the count, which sessions that begin from now on carry.
local generation = (tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0) + 1
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', generation))
return generation
