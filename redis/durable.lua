#!lua flags=allow-oom
-- Writes something small; whoever waits until that is durable knows it of all that was written before. allow-oom: what a full
-- Redis holds leaves it only once it is settled.
--
-- KEYS: 1 key
redis.call('SET', KEYS[1], '1')
