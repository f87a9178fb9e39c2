-- Removes an agent from the group of a launch stream, unless it has entries: others take them over. In one step, since
-- another thread of the agent may still wait for entries, and with the agent its entries would leave the group.
--
-- Answers 1 where it was removed.
local held = redis.pcall('XPENDING', launch_key, LAUNCH_GROUP, '-', '+', 1, consumer)
if held.err or held[1] then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', launch_key, LAUNCH_GROUP, consumer)
return 1
