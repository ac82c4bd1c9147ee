-- Hands entries of a source over to a shard, each once: only those above the greatest id that was
-- handed over before. allow-oom: a full source must drain; batches are small.
--
-- An entry that is not above it was handed over before, or the source is another stream than it was. The caller finds
-- out which, and calls again with the id that it asked about.
--
-- KEYS: 1 sources, 2 messages, 3 rejected
-- ARGV: 1 source, 2 rejected kept, 3 the id that the caller asked about or '', 4 'same' or 'new' stream,
--       5 bytes of rejected kept, 6 how far the shard got at least, as the caller knows, or '', then by entry, in order: its id, 'append' or 'reject', count of names and values, names and values
-- Answers {appended, set aside, rejected entries that were deleted}, or the id to ask about, or LOST: the shard got less far
-- than it had, so its server lost something, which must come first.

local function below(a, b)
  local a_ms, a_n = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_n = string.match(b, '^(%d+)-(%d+)$')
  -- As text: halves are u64, beyond what a Lua number holds. Redis writes no leading zeros.
  if a_ms ~= b_ms then
    return #a_ms < #b_ms or (#a_ms == #b_ms and a_ms < b_ms)
  end
  return #a_n < #b_n or (#a_n == #b_n and a_n < b_n)
end

local reached = redis.call('HGET', KEYS[1], ARGV[1]) or '0-0'
if not string.match(reached, '^%d+%-%d+$') then
  return redis.error_reply('ERR the field ' .. ARGV[1] .. ' of ' .. KEYS[1] .. ' is no entry id: take it out with HDEL')
end
if ARGV[6] ~= '' and below(reached, ARGV[6]) then
  return 'LOST'
end
if reached ~= '0-0' and not below(reached, ARGV[7]) then
  -- Another node may have got on meanwhile: the same stream stays the same, a new one may have become the known one.
  local is_judged = reached == ARGV[3] or (ARGV[3] ~= '' and ARGV[4] == 'same' and below(ARGV[3], reached))
  if not is_judged then
    return reached
  end
  if ARGV[4] == 'new' then
    reached = '0-0'
  end
end
-- What was appended and not noted would be appended again.
need('XADD', 'HSET', 'XLEN', 'XRANGE', 'XDEL', 'MEMORY USAGE')
local appended, rejected, dropped = 0, 0, 0
-- Ids ascend: behind one that is above, all are.
local above = false
local i = 7
while i <= #ARGV do
  local id, last = ARGV[i], i + 2 + tonumber(ARGV[i + 2])
  above = above or below(reached, id)
  if above then
    if ARGV[i + 1] == 'append' then
      redis.call('XADD', KEYS[2], '*', unpack(ARGV, i + 3, last))
      appended = appended + 1
    else
      redis.call('XADD', KEYS[3], '*', unpack(ARGV, i + 3, last))
      rejected = rejected + 1
    end
    reached = id
  end
  i = last + 1
end
redis.call('HSET', KEYS[1], ARGV[1], reached)

if rejected > 0 then
  dropped = dropped + bound(KEYS[3], tonumber(ARGV[2]), tonumber(ARGV[5]))
end
return {appended, rejected, dropped}
