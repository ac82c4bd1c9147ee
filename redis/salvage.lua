#!lua flags=no-writes
-- Reads whatever can still be read of a workspace, as of one moment: a key of another type counts as gone. A read that is
-- refused for any other reason ends all: what cannot be read now may be whole.
--
-- KEYS: 1 snapshot, 2 attempts, 3 journal, 4 last. ARGV: 1 attempts at most, 2 events at most
-- Answers {snapshot, attempts oldest first, last id of attempts, last id of journal, last skipped, events oldest first,
-- how many keys are of another type}.
local odd = {}

local function read(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err then
    if string.find(answer.err, 'WRONGTYPE', 1, true) then
      odd[command == 'XINFO' and select(2, ...) or select(1, ...)] = true
    elseif not string.find(answer.err, 'no such key', 1, true) then
      error(answer)
    end
    return false
  end
  return answer
end

local function top(key)
  local info = read('XINFO', 'STREAM', key) or {}
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return info[i + 1]
    end
  end
  return '0-0'
end

local function newest(key, count)
  local newest_first = read('XREVRANGE', key, '+', '-', 'COUNT', count) or {}
  local oldest_first = {}
  for i = #newest_first, 1, -1 do
    oldest_first[#oldest_first + 1] = newest_first[i]
  end
  return oldest_first
end

local answer = {read('GET', KEYS[1]), newest(KEYS[2], ARGV[1]), top(KEYS[2]), top(KEYS[3]), read('GET', KEYS[4]),
  newest(KEYS[3], ARGV[2])}
local count = 0
for _ in pairs(odd) do
  count = count + 1
end
answer[7] = count
return answer
