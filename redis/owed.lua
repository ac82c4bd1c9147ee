#!lua flags=no-writes
-- What shards owe. KEYS: the messages of any number of shards.
-- Answers by key how many entries there are and the id of the oldest, '' when there is none.
local answer = {}
for _, key in ipairs(KEYS) do
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)
  answer[#answer + 1] = redis.call('XLEN', key)
  answer[#answer + 1] = first[1] and first[1][1] or ''
end
return answer
