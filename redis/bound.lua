-- Loaded in front of the scripts that call it.

-- Deletes the oldest entries until there are so many at most, and these take about so many bytes; the newest stays. SAMPLES 0:
-- all of it is measured. Never XTRIM what is also XDELed: a Redis bug made such streams unloadable.
local function bound(key, entries, bytes)
  local deleted = 0
  local over = math.min(redis.call('XLEN', key) - entries, 1000)
  if over > 0 then
    for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', over)) do
      deleted = deleted + redis.call('XDEL', key, entry[1])
    end
  end
  over = (redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) or 0) - bytes
  while over > 0 and deleted < 1000 and redis.call('XLEN', key) > 1 do
    local entry = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    for _, part in ipairs(entry[2]) do
      over = over - #part
    end
    deleted = deleted + redis.call('XDEL', key, entry[1])
  end
  return deleted
end

