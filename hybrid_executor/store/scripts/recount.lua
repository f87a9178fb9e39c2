-- Writes an owner's live attempts again into the sets that count them on their targets, in case one was lost.
--
-- Answers the next cursor, "0" at the end.
local found = shared('SSCAN', owner_key, cursor, 'COUNT', size)
for _, id in ipairs(found[2]) do
  local known = check(redis.pcall('HMGET', prefix .. ATTEMPT .. id, 'state', 'route', 'target', 'placed_at'))
  local state, route, target = known[1], known[2], known[3]
  if not is_wrong_type(known) and state and not is_among(state, terminal) and route and route ~= '' and target then
    local place_key = prefix .. PLACE .. route .. '>' .. target
    shared('ZADD', place_key, tonumber(known[4] or '0') or 0, id)
    redis.call('EXPIRE', place_key, live_seconds)
  end
end
return found[1]
