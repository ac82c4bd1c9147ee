#!lua
-- Appends messages of one workspace, all of them or none. A full Redis refuses this script before it runs.
--
-- KEYS: 1 messages. ARGV: 1 workspace, then the messages. Answers their ids, in order.
local ids = {}
for i = 2, #ARGV do
  ids[i - 1] = redis.call('XADD', KEYS[1], '*', 'workspace', ARGV[1], 'message', ARGV[i])
end
return ids
