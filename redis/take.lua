#!lua flags=no-writes,allow-oom
-- Reads entries of a stream in order, with a bound on bytes: however large they are, what is too large is not sent. Redis
-- has no command that tells a length first.
--
-- KEYS: 1 stream. ARGV: 1 from, 2 to, as XRANGE takes them, 3 entries at most, 4 bytes beyond which none follows,
--       5 an entry of more bytes is cut, 6 and 7 a value of more bytes to how many, 8 fields of it beside the named, 9… names
-- Answers the entries as XRANGE does; of one that was cut its bytes stand behind the fields.
local left, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local whole, value_max, value_kept, fields_max = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local function cut(fields)
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

local function bytes_of(fields)
  local bytes = 0
  for i = 1, #fields do
    bytes = bytes + #fields[i]
  end
  return bytes
end

local found, from, step = {}, ARGV[1], 1
while left > 0 and room > 0 do
  local asked = math.min(step, left)
  local entries = redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', asked)
  -- More at a time while they are small: each call costs, and each large entry takes memory here.
  step = step * 2
  for _, entry in ipairs(entries) do
    local bytes = bytes_of(entry[2])
    if bytes > whole then
      entry[2], entry[3], step = cut(entry[2]), bytes, 1
      bytes = bytes_of(entry[2])
    end
    room = room - bytes
    found[#found + 1] = entry
  end
  if #entries < asked then
    break
  end
  left, from = left - asked, '(' .. entries[asked][1]
end
return found
