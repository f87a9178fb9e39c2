-- A Celery worker takes a message's attempt: exactly one taker wins, and nobody after it ended.
--
-- KEYS[1] attempt record   KEYS[2] events stream
-- ARGV[1] key prefix   ARGV[2] attempt id   ARGV[3] worker   ARGV[4] owner   ARGV[5] pool
-- ARGV[6] seconds that a live record is kept   ARGV[7] claim token, the same when a claim is asked again
-- ARGV[8] name of an epoch that may have to begin, ARGV[9] seconds that it is kept, ARGV[10] seconds until everybody has told what they know
-- ARGV[11..] field, value, ... of the record
--
-- A claim that is repeated because its answer was lost is granted again. A missing record (Redis lost data while the
-- message was on its way) is written anew from the message. What was submitted before Redis may have fallen back to older
-- data is not claimed until everybody has told what they know: it may have run already.
-- Answers {code, state, generation, holder}; code 1: claimed, 0: refused, 2: not yet, -3: the record's key holds something else.
local prefix, id, worker = ARGV[1], ARGV[2], ARGV[3]
local known = check(redis.pcall('HMGET', KEYS[1], 'state', 'generation', 'owner', 'pool', 'holder', 'claim_token',
  'submitted_at'))
if holds_other(known) then
  return {-3, '', 0, ''}
end
local owner, pool = known[3] or ARGV[4], known[4] or ARGV[5]
local generation = tonumber(known[2] or '0') or 0
if known[1] == 'running' and ARGV[7] ~= '' and known[6] == ARGV[7] then
  return {1, 'running', generation, worker}
end
if known[1] and known[1] ~= 'submitted' then
  return {0, known[1], generation, known[5] or ''}
end
local unsettled = epoch_of(prefix, ARGV[8], ARGV[9], ARGV[10])[2]
if unsettled > 0 and (tonumber(known[7] or '0') or 0) < unsettled then
  return {2, known[1] or '', generation, ''}
end
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
generation = generation + 1
if not known[1] then
  redis.call('HSET', KEYS[1], 'id', id, 'owner', owner, 'pool', pool, 'submitted_at', now, unpack(ARGV, 11))
  shared('SADD', prefix .. 'live:' .. pool, id)
  redis.call('EXPIRE', prefix .. 'live:' .. pool, ARGV[6])
  if owner ~= '' then
    shared('SADD', prefix .. 'owner:' .. owner, id)
    redis.call('EXPIRE', prefix .. 'owner:' .. owner, ARGV[6])
  end
end
redis.call('HSET', KEYS[1], 'state', 'running', 'generation', generation, 'holder', worker, 'running_at', now,
  'claim_token', ARGV[7])
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('DEL', prefix .. 'payload:' .. id, prefix .. 'overrides:' .. id)
shared('XADD', KEYS[2], '*', 'attempt', id, 'state', 'running', 'generation', generation, 'owner', owner,
  'pool', pool, 'holder', worker)
return {1, 'running', generation, worker}
