#!lua flags=no-writes
-- Whether this Redis knows commands and lets the user run them that asks. Runs none of them.
--
-- ARGV: by command how many words it has, and the words
-- Answers by command 'may', 'may not' or 'unknown'.
local answer, i = {}, 1
while i <= #ARGV do
  local last = i + tonumber(ARGV[i])
  local is_known, may = pcall(redis.acl_check_cmd, unpack(ARGV, i + 1, last))
  answer[#answer + 1] = not is_known and 'unknown' or may and 'may' or 'may not'
  i = last + 1
end
return answer
