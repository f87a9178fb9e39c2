-- Writes fields of a live record that are no change of state. An ended or missing record stays as it is.
--
-- Answers 1 where it was written.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'ended_at'))
if is_wrong_type(known) or not known[1] or known[2] then
  return 0
end
redis.call('HSET', attempt_key, unpack(ARGV, fields_at))
return 1
