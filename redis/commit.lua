-- Makes a batch durable and renews the lease. Loaded twice: as it is, a full Redis refuses it before it runs; with
-- allow-oom for batches whose attempts come without bodies, which on balance free memory.
--
-- KEYS: 1 owner, 2 messages, 3 commands, 4 answers, 5 outbox, 6 rejected, 7… the workspaces' keys
-- ARGV: 1 nonce, 2 head expected, 3 head afterwards, 4 lease in ms, 5 attempts kept,
--       6 events kept, 7 answers kept, 8 rejected kept, 9 'few' or 'all' commands that operations run,
--       then operations, each a name and its arguments
-- Answers {'OK', entries that were gone already, rejected entries that were deleted}, or
-- {'DONE'} when this commit was applied before, {'FENCED', node}, {'HEAD', head}: nothing written.
--
-- Lua has no rollback. Everything is checked before the first write, and no operation can fail
-- unless a key is of another type. What follows the operations presupposes nothing, and is made up for by the next commit. Events come before snapshots and settled entries, the head is
-- last: what a torn commit leaves behind is found when the workspace is loaded.
local owner = redis.call('HMGET', KEYS[1], 'nonce', 'head', 'node')
if not owner[1] then
  return {'HEAD', '0'}
end
if owner[1] ~= ARGV[1] then
  return {'FENCED', owner[3]}
end
-- As numbers: a head counts commits and stays far below 2^53.
local head, expected = tonumber(owner[2]), tonumber(ARGV[2])
if head < expected then
  return {'HEAD', owner[2]}
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local expiry = string.format('%.0f', now + tonumber(ARGV[4]))
if head > expected then
  -- Only the holder of this nonce writes, and in order, so it was this very commit.
  redis.call('HSET', KEYS[1], 'expiry', expiry)
  return {'DONE'}
end

need('XADD', 'XDEL', 'SET', 'HSET')
if ARGV[9] == 'all' then
  need('XTRIM', 'XSETID', 'EXISTS', 'DEL', 'ZADD', 'ZREM', 'HDEL', 'HKEYS', 'XLEN', 'XRANGE', 'MEMORY USAGE')
end
local vanished, dropped, rejected_bytes = 0, 0, nil

local function drop_mails(begin)
  for _, field in ipairs(redis.call('HKEYS', KEYS[5])) do
    -- A workspace id may hold colons, so what follows must be nothing but the seq.
    if string.sub(field, 1, #begin) == begin and string.find(field, '^%d+$', #begin + 1) then
      redis.call('HDEL', KEYS[5], field)
    end
  end
end

local operations = {
  -- key, id, field (e, or z for one that is compressed), event
  attempt = function(i)
    redis.call('XADD', KEYS[tonumber(ARGV[i])], 'MAXLEN', '~', ARGV[5], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
    return i + 4
  end,
  -- key, id, event
  event = function(i)
    redis.call('XADD', KEYS[tonumber(ARGV[i])], 'MAXLEN', '~', ARGV[6], ARGV[i + 1], 'e', ARGV[i + 2])
    return i + 3
  end,
  -- key of attempts, key of events, what the fields of the workspace's mails begin with
  forget = function(i)
    -- Trimmed and not deleted: the last ids stay, so no seq is given twice.
    redis.call('XTRIM', KEYS[tonumber(ARGV[i])], 'MAXLEN', '0')
    redis.call('XTRIM', KEYS[tonumber(ARGV[i + 1])], 'MAXLEN', '0')
    drop_mails(ARGV[i + 2])
    return i + 3
  end,
  -- key of attempts
  empty = function(i)
    -- Trimmed and not deleted: the last id stays.
    redis.call('XTRIM', KEYS[tonumber(ARGV[i])], 'MAXLEN', '0')
    return i + 1
  end,
  -- the same for keys that may be of another type or remember another id; `reach` follows behind the events
  anew = function(i)
    redis.call('DEL', KEYS[tonumber(ARGV[i])], KEYS[tonumber(ARGV[i + 1])])
    drop_mails(ARGV[i + 2])
    return i + 3
  end,
  -- key of events that begin anew, the id after which they go on
  reach = function(i)
    local key = KEYS[tonumber(ARGV[i])]
    if redis.call('EXISTS', key) == 1 then
      redis.call('XSETID', key, ARGV[i + 1])
    else
      redis.call('XADD', key, 'MAXLEN', '0', ARGV[i + 1], 'e', '')
    end
    return i + 2
  end,
  -- key, value
  set = function(i)
    redis.call('SET', KEYS[tonumber(ARGV[i])], ARGV[i + 1])
    return i + 2
  end,
  -- key
  unset = function(i)
    redis.call('DEL', KEYS[tonumber(ARGV[i])])
    return i + 1
  end,
  -- key of the list of all workspaces, before those by status; id; which status, 0 for none
  list = function(i)
    local first, id, status = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
    for n = 0, 4 do
      if status > 0 and (n == 0 or n == status) then
        redis.call('ZADD', KEYS[first + n], 0, id)
      else
        redis.call('ZREM', KEYS[first + n], id)
      end
    end
    return i + 3
  end,
  -- field, mail
  owe = function(i)
    redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1])
    return i + 2
  end,
  -- field
  pay = function(i)
    redis.call('HDEL', KEYS[5], ARGV[i])
    return i + 1
  end,
  -- command, answer
  answer = function(i)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[7], '*', 'command', ARGV[i], 'answer', ARGV[i + 1])
    return i + 2
  end,
  -- bytes of rejected entries kept, count of names and values, names and values
  reject = function(i)
    rejected_bytes = tonumber(ARGV[i])
    local last = i + 1 + tonumber(ARGV[i + 1])
    redis.call('XADD', KEYS[6], '*', unpack(ARGV, i + 2, last))
    return last + 1
  end,
  -- key, count of ids, ids
  settle = function(i)
    local count = tonumber(ARGV[i + 1])
    local last = i + 1 + count
    vanished = vanished + count - redis.call('XDEL', KEYS[tonumber(ARGV[i])], unpack(ARGV, i + 2, last))
    return last + 1
  end,
}

local i = 10
while i <= #ARGV do
  i = operations[ARGV[i]](i + 1)
end

if rejected_bytes then
  dropped = dropped + bound(KEYS[6], tonumber(ARGV[8]), rejected_bytes)
end

redis.call('HSET', KEYS[1], 'head', ARGV[3], 'expiry', expiry)
return {'OK', vanished, dropped}
