-- A Celery worker takes a message's attempt: exactly one taker wins, and nobody after it ended.
--
-- KEYS[1] attempt record   KEYS[2] events stream
-- ARGV[1] key prefix   ARGV[2] attempt id   ARGV[3] worker   ARGV[4] owner   ARGV[5] pool
-- ARGV[6] seconds that a live record is kept   ARGV[7] claim token, the same when a claim is asked again
-- ARGV[8..] field, value, ... of the record
--
-- A claim that is repeated because its answer was lost is granted again. A missing record (Redis lost data while the
-- message was on its way) is written anew from the message.
-- Answers {code, state, generation, holder}; code 1: claimed, 0: refused.
local prefix, id, worker = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', KEYS[1], 'state', 'generation', 'owner', 'pool', 'holder', 'claim_token')
local owner, pool = known[3] or ARGV[4], known[4] or ARGV[5]
local generation = tonumber(known[2] or '0')
if known[1] == 'running' and ARGV[7] ~= '' and known[6] == ARGV[7] then
  return {1, 'running', generation, worker}
end
if known[1] and known[1] ~= 'submitted' then
  return {0, known[1], generation, known[5] or ''}
end
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
generation = generation + 1
if not known[1] then
  redis.call('HSET', KEYS[1], 'id', id, 'owner', owner, 'pool', pool, 'submitted_at', now, unpack(ARGV, 8))
  redis.call('SADD', prefix .. 'live:' .. pool, id)
  if owner ~= '' then
    redis.call('SADD', prefix .. 'owner:' .. owner, id)
  end
end
redis.call('HSET', KEYS[1], 'state', 'running', 'generation', generation, 'holder', worker, 'running_at', now,
  'claim_token', ARGV[7])
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('DEL', prefix .. 'payload:' .. id, prefix .. 'overrides:' .. id)
redis.call('XADD', KEYS[2], '*', 'attempt', id, 'state', 'running', 'generation', generation, 'owner', owner,
  'pool', pool, 'holder', worker)
return {1, 'running', generation, worker}
