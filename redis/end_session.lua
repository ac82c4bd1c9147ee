#!lua flags=allow-oom
-- Remembers that a session of the operator ended before its time. KEYS: 1 sessions (id -> when it would have ended, in ms).
-- ARGV: 1 now, in ms, 2 how many are remembered at most, 3 the session's id, 4 when it would have ended, in ms.
-- Answers 1, or 0 when as many are remembered already. Those that would have ended by now are forgotten first.
local known = redis.call('HGETALL', KEYS[1])
for at = 1, #known, 2 do
  if tonumber(known[at + 1]) <= tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[1], known[at])
  end
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) and redis.call('HEXISTS', KEYS[1], ARGV[3]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return 1
