-- Tells of a node that it is there, and reads who else is. Loaded twice: with allow-oom, for a full Redis must not part the
-- nodes; and with no-writes for who reads only, whom a Redis that takes no writes answers too.
--
-- KEYS: 1 nodes
-- ARGV: 1 node or '' to read only, 2 what names its process, 3 its record (JSON) or '' to take it away,
--       4 how often a record that stays the same is written, in ms, 5 after how many ms without that it is deleted
-- Answers {now in ms, the process whose record this one replaced or '', then by node: id, began, seen, record}.
--
-- A value is `<began> <seen> <process> <record>`, times in Unix ms by this clock.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local now_text = string.format('%.0f', now)

local function parts(value)
  return string.match(value, '^(%d+) (%d+) (%S+) (.*)$')
end

local replaced = ''
if ARGV[1] ~= '' then
  local stands = redis.call('HGET', KEYS[1], ARGV[1])
  local began, seen, process, record
  if stands then
    began, seen, process, record = parts(stands)
  end
  if ARGV[3] == '' then
    if process == ARGV[2] then
      redis.call('HDEL', KEYS[1], ARGV[1])
    end
  else
    local age = seen and now - tonumber(seen)
    if process ~= ARGV[2] then
      -- One that lives writes its own again and again: an older one is that of a process that has ended, or a copy of Redis.
      replaced = process and age < 5 * tonumber(ARGV[4]) and process or ''
      began = now_text
    end
    if process ~= ARGV[2] or record ~= ARGV[3] or age < 0 or age >= tonumber(ARGV[4]) then
      redis.call('HSET', KEYS[1], ARGV[1], table.concat({began, now_text, ARGV[2], ARGV[3]}, ' '))
    end
  end
end

local answer = {now_text, replaced}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local began, seen, _, record = parts(all[i + 1])
  if began and now - tonumber(seen) < tonumber(ARGV[5]) then
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = began
    answer[#answer + 1] = seen
    answer[#answer + 1] = record
  elseif ARGV[1] ~= '' then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return answer
