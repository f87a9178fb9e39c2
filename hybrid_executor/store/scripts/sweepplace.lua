-- Drops attempts from the set of a route's target whose record is gone, has ended, or is on another target by now.
--
-- Answers where the next part begins, -1 after the last one.
local page = shared('ZRANGE', place_key, start, start + size - 1)
local dropped = 0
for _, id in ipairs(page) do
  local known = check(redis.pcall('HMGET', prefix .. ATTEMPT .. id, 'state', 'route', 'target'))
  local state = known[1]
  if is_wrong_type(known) or not state or is_among(state, terminal) or known[2] ~= route or known[3] ~= target then
    redis.call('ZREM', place_key, id)
    dropped = dropped + 1
  end
end
return #page == size and start + size - dropped or -1
