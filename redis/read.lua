#!lua flags=no-writes
-- Reads what is durable of a workspace, as of one moment.
--
-- KEYS: 1 snapshot, 2 attempts, 3 journal, 4 last
-- ARGV: 1 attempts at most, 2 'above' for those above the snapshot, 'last' for the last ones; without the last skipped
-- message 'newest' for the last ones, 'none' for the snapshot alone
-- Answers {snapshot, attempts oldest first, last id of attempts, last id of journal, last skipped}.
local function top(key)
  if redis.call('EXISTS', key) == 0 then
    return '0-0'
  end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return info[i + 1]
    end
  end
  return redis.error_reply('ERR XINFO STREAM names no last-generated-id')
end

local snapshot = redis.call('GET', KEYS[1])
local attempts = {}
if ARGV[2] == 'above' then
  -- A snapshot begins so (journal::record). One that does not is refused by its reader anyway.
  local seq = snapshot and string.match(snapshot, '^{"v":%d+,"seq":(%d+)') or '0'
  attempts = redis.call('XRANGE', KEYS[2], '(' .. seq .. '-0', '+', 'COUNT', ARGV[1])
elseif ARGV[2] ~= 'none' then
  local newest_first = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[1])
  for i = #newest_first, 1, -1 do
    attempts[#attempts + 1] = newest_first[i]
  end
end
local last = (ARGV[2] == 'above' or ARGV[2] == 'last') and redis.call('GET', KEYS[4])
return {snapshot, attempts, top(KEYS[2]), top(KEYS[3]), last}
