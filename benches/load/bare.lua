-- The commit of the bare loop. It is fixed: a dearer commit of the service must not slow the yardstick.
-- KEYS: 1 input, then by event its stream, then by workspace its snapshot
-- ARGV: 1 number of events, 2 number of snapshots, 3 the event, 4 the snapshot, then settled ids
local events, snapshots = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 1, events do
  redis.call('XADD', KEYS[1 + i], 'MAXLEN', '~', '100', '*', 'e', ARGV[3])
end
for i = 1, snapshots do
  redis.call('SET', KEYS[1 + events + i], ARGV[4])
end
redis.call('XDEL', KEYS[1], unpack(ARGV, 5))
return redis.status_reply('OK')
