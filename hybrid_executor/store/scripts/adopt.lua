-- Makes another scheduler job answer for an attempt, and tells how it stands. An ended attempt keeps its owner.
--
-- Answers the record as JSON of {field, value, ...}, '' where there is none, 1 where the key holds another type. One text
-- takes a client a fraction of the time of many: a scheduler adopts thousands at once, while Airflow waits.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'owner'))
if is_wrong_type(known) then
  return 1
end
local state, known_owner = known[1], known[2]
if not state then
  return ''
end
if not is_among(state, terminal) then
  if known_owner and known_owner ~= owner then
    shared('SREM', prefix .. OWNER .. known_owner, id)
  end
  redis.call('HSET', attempt_key, 'owner', owner)
  shared('SADD', owner_key, id)
  redis.call('EXPIRE', owner_key, live_seconds)
end
return cjson.encode(redis.call('HGETALL', attempt_key))
