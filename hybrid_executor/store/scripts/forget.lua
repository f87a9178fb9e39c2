-- Drops an attempt from its owner's set where it has no live record of this owner any more.
--
-- Answers 1 where it was dropped.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'owner'))
local state = known[1]
if not is_wrong_type(known) and state and not is_among(state, terminal) and known[2] == owner then
  return 0
end
return shared('SREM', owner_key, id)
