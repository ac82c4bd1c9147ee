#!lua
-- Does nothing. Without the flag allow-oom, and as a script that may write, it is refused where new
-- messages are: by a full Redis, by a replica, by one that cannot persist.
return 1
