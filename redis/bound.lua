-- Loaded in front of the scripts that call it.

-- Deletes the oldest entries until the others take about so many bytes; the newest stays. SAMPLES 0: all of it is measured.
local function bound(key, bytes)
  local over = (redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) or 0) - bytes
  local deleted = 0
  while over > 0 and deleted < 1000 and redis.call('XLEN', key) > 1 do
    local entry = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    for _, part in ipairs(entry[2]) do
      over = over - #part
    end
    deleted = deleted + redis.call('XDEL', key, entry[1])
  end
  return deleted
end

