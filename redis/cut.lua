-- Loaded in front of the scripts that read entries of any size. Redis has no command that tells a length first.
--
-- ARGV: 3 entries at most, 4 bytes read beyond which none follows, 5 an entry of more bytes is cut, 6 and 7 a value of more
--       bytes to how many, 8 fields of it beside the named, 9… names

local function bytes_of(fields)
  local bytes = 0
  for i = 1, #fields do
    bytes = bytes + #fields[i]
  end
  return bytes
end

-- The fields of an entry that is too large, as far as they are kept.
local function cut(fields)
  local value_max, value_kept, fields_max = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  local kept, others, named = {}, 0, {}
  for i = 9, #ARGV do
    named[ARGV[i]] = true
  end
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    others = others + 1
    if #name <= value_kept and (named[name] or others <= fields_max) then
      named[name] = nil
      if #value > value_max then
        value = string.sub(value, 1, value_kept)
      end
      kept[#kept + 1] = name
      kept[#kept + 1] = value
    end
  end
  return kept
end

-- Reads on, `read(count, last)` at a time, until as many entries or bytes are there as ARGV allows. Of one that was cut its
-- bytes stand behind the fields.
local function take(read)
  local left, room, whole = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local found, step = {}, 1
  while left > 0 and room > 0 do
    local asked = math.min(step, left)
    local last = found[#found]
    local entries = read(asked, last and last[1])
    -- More at a time while they are small: each call costs, and each large entry takes memory here, up to 8 of them.
    step = math.min(step * 2, 8)
    for _, entry in ipairs(entries) do
      -- One that was deleted while it was pending has no fields.
      local bytes = bytes_of(entry[2] or {})
      if bytes > whole then
        entry[2], entry[3], step = cut(entry[2]), bytes, 1
      end
      -- What was cut was read, too, and everybody else waits meanwhile.
      room = room - bytes
      found[#found + 1] = entry
    end
    if #entries < asked then
      break
    end
    left = left - asked
  end
  return found
end

