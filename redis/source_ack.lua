#!lua flags=allow-oom
-- Acknowledges entries that were handed over.
--
-- KEYS: 1 the source's lease, 2 the source. ARGV: 1 the id up to which all was handed over or '', 2 what the last entry
--       that was handed over is or '', then ids
-- Answers how many were pending.
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], 'position', ARGV[1])
  if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], 'newest', ARGV[2])
  end
end
if #ARGV == 2 then
  return 0
end
return redis.call('XACK', KEYS[2], 'outbound', unpack(ARGV, 3))
