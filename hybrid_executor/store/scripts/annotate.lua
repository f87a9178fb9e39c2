-- Writes fields of a live record that are no change of state. An ended or missing record stays as it is.
--
-- KEYS[1] attempt record   ARGV field, value, ...
--
-- Answers 1 where it was written.
local known = check(redis.pcall('HMGET', KEYS[1], 'state', 'ended_at'))
if holds_other(known) or not known[1] or known[2] then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
