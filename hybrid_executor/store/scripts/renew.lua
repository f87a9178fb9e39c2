-- Gives an attempt that has not started a new workload, without another launch.
--
-- Answers 1 where it was written, 0 where the attempt has another generation or state by now.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation'))
if is_wrong_type(known) or not known[1] or (tonumber(known[2] or '0') or 0) ~= generation
    or not is_among(known[1], states) then
  return 0
end
redis.call('SET', payload_key, payload, 'EX', payload_seconds)
return 1
