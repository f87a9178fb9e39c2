-- Drops attempts from a pool's set whose record is gone, has ended, or is in another pool by now, a part of the set at a
-- time.
--
-- Answers the next cursor, "0" at the end.
local found = shared('SSCAN', live_key, cursor, 'COUNT', size)
for _, id in ipairs(found[2]) do
  local known = check(redis.pcall('HMGET', prefix .. ATTEMPT .. id, 'state', 'pool'))
  local state = known[1]
  if is_wrong_type(known) or not state or is_among(state, terminal) or (known[2] and known[2] ~= pool) then
    redis.call('SREM', live_key, id)
  end
end
return found[1]
