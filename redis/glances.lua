#!lua flags=allow-oom
-- Keeps what a process knows, or reads what all told. allow-oom: a full Redis must be told of by every node.
--
-- KEYS: 1 glances
-- ARGV: 1 what names the process or '' to read, 2 what it knows (JSON), 3 for how long it is kept, in ms, 4 how many are kept,
--       5 who told less ms ago is kept in any case
-- Answers to who reads {now in ms, then by process: when it told, what}.
--
-- A value is `<told> <JSON>`, in Unix ms by this clock.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local now_text = string.format('%.0f', now)

local tells = ARGV[1] ~= ''
if tells then
  -- Nobody takes another's place but who is new.
  if redis.call('HSET', KEYS[1], ARGV[1], now_text .. ' ' .. ARGV[2]) == 0 then
    return {}
  end
end

local kept, answer = {}, {now_text}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local told, glance = string.match(all[i + 1], '^(%d+) (.*)$')
  if told and now - tonumber(told) < tonumber(ARGV[3]) then
    kept[#kept + 1] = {tonumber(told), all[i]}
    answer[#answer + 1] = told
    answer[#answer + 1] = glance
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
if not tells then
  return answer
end
table.sort(kept, function(a, b) return a[1] > b[1] end)
for i = tonumber(ARGV[4]) + 1, #kept do
  if now - kept[i][1] >= tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[1], kept[i][2])
  end
end
return {}
