-- Appends a command, unless too many wait. Loaded twice: as it is, a full Redis refuses it before it runs; with
-- allow-oom for commands that only take away.
--
-- KEYS: 1 commands, 2 answers. ARGV: 1 commands waiting at most, 2 workspace, 3 command.
-- Answers {'OK', the command's id, the id after which its answer will stand} or {'FULL'}.
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return {'FULL'}
end
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local after = newest[1] and newest[1][1] or '0-0'
return {'OK', redis.call('XADD', KEYS[1], '*', 'workspace', ARGV[2], 'command', ARGV[3]), after}
