#!lua flags=allow-oom
-- Acknowledges entries that were handed over.
--
-- KEYS: 1 the source's lease, 2 the source. ARGV: 1 the id up to which all was handed over or '', then ids
-- Answers how many were pending.
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], 'position', ARGV[1])
end
if #ARGV == 1 then
  return 0
end
return redis.call('XACK', KEYS[2], 'outbound', unpack(ARGV, 2))
