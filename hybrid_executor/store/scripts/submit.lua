-- Records a batch of attempts as submitted, with all that their pools need, in one step.
--
-- KEYS[1]    events stream
-- KEYS[2..]  broker queues (lists) that messages are pushed to
-- ARGV[1]    key prefix            ARGV[2]  seconds that payloads live    ARGV[3]  seconds that live records live
-- then for each attempt:
--   id, owner, pool, expected generation (0: the record must not exist yet), launch cluster ("" for none),
--   queue (index into KEYS, 0 for none), message, payload, overrides, fields as a JSON array (field, value, ...)
--
-- Answers the new generation of each attempt, 0 where the record was not as expected (submitted already, moved on). Where
-- a key holds something else, nothing is written for that attempt: -1 the record's, -2 the queue's, -3 the launch stream's.
local prefix, payload_ttl, live_ttl = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
local answers, touched = {}, {}
local i = 4
while i <= #ARGV do
  local id, owner, pool, expected = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local cluster, queue, message = ARGV[i + 4], tonumber(ARGV[i + 5]), ARGV[i + 6]
  local payload, overrides, fields = ARGV[i + 7], ARGV[i + 8], cjson.decode(ARGV[i + 9])
  i = i + 10
  local key = prefix .. 'attempt:' .. id
  local known = check(redis.pcall('HMGET', key, 'generation', 'state', 'owner'))
  local generation = tonumber(known[1] or '0') or 0
  local ended = known[2] == 'succeeded' or known[2] == 'failed' or known[2] == 'revoked'
  if holds_other(known) then
    answers[#answers + 1] = -1
  elseif generation ~= expected or ended then
    answers[#answers + 1] = 0
  elseif queue > 0 and holds_other(check(redis.pcall('LPUSH', KEYS[queue], message))) then
    answers[#answers + 1] = -2
  elseif cluster ~= '' and holds_other(check(redis.pcall('XADD', prefix .. 'launch:' .. cluster, '*', 'op', 'launch',
      'attempt', id, 'generation', generation + 1))) then
    answers[#answers + 1] = -3
  else
    generation = generation + 1
    if known[3] and known[3] ~= owner then
      shared('SREM', prefix .. 'owner:' .. known[3], id)
    end
    redis.call('HSET', key, 'id', id, 'state', 'submitted', 'owner', owner, 'pool', pool, 'generation', generation,
      'holder', '', 'reason', '', 'submitted_at', now, unpack(fields))
    if generation > 1 then
      redis.call('HSET', key, 'launches', (tonumber(redis.call('HGET', key, 'launches') or '0') or 0) + 1)
      redis.call('HDEL', key, 'received_by', 'sent')
    end
    redis.call('EXPIRE', key, live_ttl)
    shared('SADD', prefix .. 'owner:' .. owner, id)
    shared('SADD', prefix .. 'live:' .. pool, id)
    touched[prefix .. 'owner:' .. owner], touched[prefix .. 'live:' .. pool] = true, true
    redis.call('SET', prefix .. 'payload:' .. id, payload, 'EX', payload_ttl)
    if overrides ~= '' then
      redis.call('SET', prefix .. 'overrides:' .. id, overrides, 'EX', payload_ttl)
    end
    shared('XADD', KEYS[1], '*', 'attempt', id, 'state', 'submitted', 'generation', generation,
      'owner', owner, 'pool', pool)
    answers[#answers + 1] = generation
  end
end
-- A set of live attempts that nobody changes any more goes away by itself.
for key in pairs(touched) do
  redis.call('EXPIRE', key, live_ttl)
end
return answers
