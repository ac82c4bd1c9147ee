#!lua flags=allow-oom
-- Ends a commit that is a transaction: the attempts stand before it in the same one. Sent as a text and not by its hash:
-- a hash that Redis forgot would fail where nothing is rolled back. allow-oom: Redis was not full when the transaction
-- began, and nothing here may fail.
--
-- KEYS: 1 owner, 2 messages, then the streams of attempts, then the keys of values
-- ARGV: 1 nonce, 2 head expected, 3 head afterwards, 4 lease in ms, 5 number of streams, 6 number of values, then by
--       stream the id of the last attempt, then by key its value, then the ids of settled entries
-- Answers {'OK', entries that were gone already, 0}, as commit.lua does.
--
-- An error before it in the transaction is not rolled back. So what presupposes the attempts happens here, and only when
-- they are there: attempts alone are what a torn commit.lua leaves behind too, and are found when the workspace is loaded.
local owner = redis.call('HMGET', KEYS[1], 'nonce', 'head')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then
  return redis.error_reply('ERR the owner changed within a transaction that watches it')
end
local streams, values = tonumber(ARGV[5]), tonumber(ARGV[6])
-- Another type is an error here as it was for XADD, and what made XADD refuse an id stands behind it. One call, for each
-- costs as much as an XADD.
local read = {'XREAD', 'COUNT', '1', 'STREAMS'}
for i = 1, streams do
  read[4 + i], read[4 + streams + i] = KEYS[2 + i], ARGV[6 + i]
end
if streams > 0 and redis.call(unpack(read)) then
  return redis.error_reply('ERR a stream of attempts has others above those that were to be added')
end
for i = 1, values do
  redis.call('SET', KEYS[2 + streams + i], ARGV[6 + streams + i])
end

local first, gone = 7 + streams + values, 0
-- Lua cannot spread a list without a bound.
for i = first, #ARGV, 500 do
  local last = math.min(i + 499, #ARGV)
  gone = gone + last - i + 1 - redis.call('XDEL', KEYS[2], unpack(ARGV, i, last))
end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
redis.call('HSET', KEYS[1], 'head', ARGV[3], 'expiry', string.format('%.0f', now + tonumber(ARGV[4])))
return {'OK', gone, 0}
