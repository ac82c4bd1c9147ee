-- Reads entries of a stream in order, with a bound on bytes: however large they are, what is too large is not sent.
--
-- KEYS: 1 stream. ARGV: 1 from, 2 to, as XRANGE takes them, 3… see cut.lua
-- Answers the entries as XRANGE does; of one that was cut its bytes stand behind the fields.
return take(function(count, last)
  return redis.call('XRANGE', KEYS[1], last and '(' .. last or ARGV[1], ARGV[2], 'COUNT', count)
end)
