#!lua flags=no-writes
-- Who holds shards, and for how long their leases live. KEYS: the owners of any number of shards.
-- Answers by key the node ('' when the shard was released or never held) and the rest of its lease in ms, 0 when it has ended.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local answer = {}
for _, key in ipairs(KEYS) do
  -- What is damaged is told by who takes that shard, and keeps nobody from the others.
  local owner = redis.pcall('HMGET', key, 'node', 'expiry')
  if owner.err and not string.find(owner.err, 'WRONGTYPE', 1, true) then
    return owner
  end
  local released = not owner[1] or not tonumber(owner[2]) or owner[2] == '0'
  answer[#answer + 1] = released and '' or owner[1]
  answer[#answer + 1] = released and '0' or string.format('%.0f', math.max(0, tonumber(owner[2]) - now))
end
return answer
