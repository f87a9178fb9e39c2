-- A Celery worker takes a message's attempt: exactly one taker wins, and nobody after it ended.
--
-- A claim that is repeated with the same token, because its answer was lost, is granted again. A missing record (Redis
-- lost data while the message was on its way) is written again from the message. A message that was sent before the
-- attempt went on to another target is refused, and so is any message of an attempt that is not for workers by now. What
-- was submitted before Redis may have fallen back to older data is not claimed until all have written again what they know: it may have run already.
--
-- Answers {code, state, generation, holder}; code 1: claimed, 0: refused, 2: not yet, -3: the record's key holds
-- another type.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'owner', 'pool', 'holder', 'claim_token',
  'submitted_at'))
if is_wrong_type(known) then
  return {-3, '', 0, ''}
end
local state, generation, holder = known[1], tonumber(known[2] or '0') or 0, known[5] or ''
if state == 'running' and token ~= '' and known[6] == token then
  return {1, 'running', generation, worker}
end
local is_stale = sent_generation and sent_generation < generation
if state and (state ~= 'submitted' or is_stale or (known[4] and known[4] ~= pool)) then
  return {0, state, generation, holder}
end
local unsettled = epoch_of(epoch_key, home_key, unsettled_key, proposal, epoch_seconds, settling_seconds)[2]
if unsettled > 0 and (tonumber(known[7] or '0') or 0) <= unsettled then
  return {2, state or '', generation, ''}
end
local now = string.format('%d', server_time())
generation = generation + 1
if state then
  owner, pool = known[3] or owner, known[4] or pool
else
  redis.call('HSET', attempt_key, 'id', id, 'owner', owner, 'pool', pool, 'submitted_at', now,
    'schema', SCHEMA, unpack(ARGV, fields_at))
  shared('SADD', live_key, id)
  redis.call('EXPIRE', live_key, live_seconds)
  if owner_key then
    shared('SADD', owner_key, id)
    redis.call('EXPIRE', owner_key, live_seconds)
  end
end
redis.call('HSET', attempt_key, 'state', 'running', 'generation', generation, 'holder', worker, 'running_at', now,
  'claim_token', token)
redis.call('EXPIRE', attempt_key, live_seconds)
redis.call('DEL', payload_key, overrides_key)
shared('XADD', events_key, '*', 'attempt', id, 'state', 'running', 'generation', generation, 'owner', owner,
  'pool', pool, 'holder', worker, 'schema', SCHEMA)
return {1, 'running', generation, worker}
