-- The commit of the bare loop. It is fixed: a dearer commit of the service must not slow the yardstick.
-- KEYS: 1 input, then by event its stream, then by workspace its snapshot
-- ARGV: 1 number of events, 2 number of snapshots, then the events, the snapshots and the settled ids
local events, snapshots = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 1, events do
  redis.call('XADD', KEYS[1 + i], 'MAXLEN', '~', '100', '*', 'e', ARGV[2 + i])
end
for i = 1, snapshots do
  redis.call('SET', KEYS[1 + events + i], ARGV[2 + events + i])
end
redis.call('XDEL', KEYS[1], unpack(ARGV, 3 + events + snapshots))
return redis.status_reply('OK')
