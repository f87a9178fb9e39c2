-- Makes another scheduler job answer for an attempt, and tells how it stands. An ended attempt keeps its owner.
--
-- KEYS[1] attempt record
-- ARGV[1] key prefix   ARGV[2] attempt id   ARGV[3] new owner
--
-- Answers the record as {field, value, ...}, empty where there is none.
local known = redis.call('HMGET', KEYS[1], 'state', 'owner')
if not known[1] then
  return {}
end
if known[1] ~= 'succeeded' and known[1] ~= 'failed' and known[1] ~= 'revoked' then
  if known[2] and known[2] ~= ARGV[3] then
    redis.call('SREM', ARGV[1] .. 'owner:' .. known[2], ARGV[2])
  end
  redis.call('HSET', KEYS[1], 'owner', ARGV[3])
  redis.call('SADD', ARGV[1] .. 'owner:' .. ARGV[3], ARGV[2])
end
return redis.call('HGETALL', KEYS[1])
