#!lua flags=no-writes
-- Which of some entries still exist. KEYS: 1 messages. ARGV: ids. Answers the ids that do.
local present = {}
for _, id in ipairs(ARGV) do
  if #redis.call('XRANGE', KEYS[1], id, id) == 1 then
    present[#present + 1] = id
  end
end
return present
