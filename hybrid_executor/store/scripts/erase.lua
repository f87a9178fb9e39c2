-- Deletes the record of an attempt, its workload and its places in the sets, where it has ended, or where it may live.
--
-- Answers 1 where it was deleted, 0 where it has not ended, -1 where there is no record, -2 where it has changed since.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'owner', 'pool', 'route',
  'target'))
if is_wrong_type(known) then
  redis.call('DEL', attempt_key, payload_key, overrides_key)
  return 1
end
local state, known_generation = known[1], tonumber(known[2] or '0') or 0
if not state then
  redis.call('DEL', attempt_key, payload_key, overrides_key)
  return -1
end
if known_generation ~= generation then
  return -2
end
if not is_among(state, terminal) and not is_forced then
  return 0
end
redis.call('DEL', attempt_key, payload_key, overrides_key)
shared('SREM', prefix .. OWNER .. (known[3] or ''), id)
shared('SREM', prefix .. LIVE .. (known[4] or ''), id)
leave_place(prefix, known[5], known[6], id)
return 1
