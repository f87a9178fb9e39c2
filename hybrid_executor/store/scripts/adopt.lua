-- Makes another scheduler job answer for an attempt, and tells how it stands. An ended attempt keeps its owner.
--
-- KEYS[1] attempt record
-- ARGV[1] key prefix   ARGV[2] attempt id   ARGV[3] new owner
-- ARGV[4] seconds that a set of live attempts is kept after its last change
--
-- Answers the record as {field, value, ...}, empty where there is none, 1 where the key holds something else.
local known = check(redis.pcall('HMGET', KEYS[1], 'state', 'owner'))
if holds_other(known) then
  return 1
end
if not known[1] then
  return {}
end
if known[1] ~= 'succeeded' and known[1] ~= 'failed' and known[1] ~= 'revoked' then
  if known[2] and known[2] ~= ARGV[3] then
    shared('SREM', ARGV[1] .. 'owner:' .. known[2], ARGV[2])
  end
  redis.call('HSET', KEYS[1], 'owner', ARGV[3])
  shared('SADD', ARGV[1] .. 'owner:' .. ARGV[3], ARGV[2])
  redis.call('EXPIRE', ARGV[1] .. 'owner:' .. ARGV[3], ARGV[4])
end
return redis.call('HGETALL', KEYS[1])
