#!lua flags=allow-oom
-- Claims a rejected entry for whoever moves it to a shard on another server, which takes two steps: no other one makes
-- them meanwhile. allow-oom: a claim is small and does not stay, and the move frees memory where the entry was.
--
-- KEYS: 1 rejected, 2 requeueing. ARGV: 1 the entry's id among the rejected, 2 how long the claim lasts, in ms
-- Answers 1, or 0 when the entry is gone or another one's.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local claims = redis.call('HGETALL', KEYS[2])
for i = 1, #claims, 2 do
  local remaining = tonumber(claims[i + 1]) - now
  -- Whoever made it has died; or it was made before the clock was set back.
  if remaining <= 0 or remaining > tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[2], claims[i])
  end
end
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then
  return 0
end
return redis.call('HSETNX', KEYS[2], ARGV[1], string.format('%.0f', now + tonumber(ARGV[2])))
