-- Loaded in front of the scripts that may not end between two of their writes.

-- Ends the script, before it writes anything, where the user may not run one of these: what a user may do can change at
-- any moment, Lua has no rollback, and half of what was to be stored together is damage.
local function need(...)
  for _, command in ipairs({...}) do
    local words = {}
    for word in string.gmatch(command, '%S+') do
      words[#words + 1] = word
    end
    words[#words + 1] = KEYS[1]
    if not redis.acl_check_cmd(unpack(words)) then
      error({err = 'NOPERM the user may not run ' .. command})
    end
  end
end

