-- Writes fields of a live record that are no change of state. An ended or missing record stays as it is.
--
-- KEYS[1] attempt record   ARGV field, value, ...
--
-- Answers 1 where it was written.
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'ended_at') == 1 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
