-- Gives a waiting pod to an attempt, or decides that the attempt gets a pod of its own. For each generation of the
-- record this is decided once: whoever asks again, or takes the launch over, gets the same answer. Only if the decided
-- pod is "instead_of", which cannot be used any more, another one is given.
--
-- warm_ready_key: sorted set of waiting pods, "namespace/name", by the time in ms when each was first offered
-- warm_taken_key: hash of pods that were given away and may still look as if they waited, to "attempt ms"
-- warm_demand_key: hash of attempts that asked, by their time in units of "bucket_seconds"
--
-- With a pod the record becomes pending, and from then on no agent creates a pod for this generation.
--
-- Answers {code, pod}; code 1: decided now, 2: decided before, 0: there is nothing to launch. The pod is "" for none.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'owner', 'pool', 'warm', 'warm_generation'))
if is_wrong_type(known) or not known[1] or (tonumber(known[2] or '0') or 0) ~= generation then
  return {0, ''}
end
local state, decided = known[1], tonumber(known[6] or '-1') == generation
local pod = decided and known[5] or ''
if decided and pod == '' then
  return {(state == 'submitted' or state == 'launching') and 2 or 0, ''}
end
if decided and state ~= 'pending' then
  return {0, ''}
end
if decided and pod ~= instead_of then
  return {2, pod}
end
if not decided and state == 'launching' then
  return {2, ''} -- an agent without warm pods creates a pod
end
if not decided and state ~= 'submitted' then
  return {0, ''}
end
local now = string.format('%d', server_time())
if not decided then
  redis.call('HINCRBY', warm_demand_key, string.format('%d', math.floor(tonumber(now) / 1000 / bucket_seconds)), 1)
  redis.call('EXPIRE', warm_demand_key, kept_seconds)
end
local ready = shared('ZRANGE', warm_ready_key, 0, 0)
pod = ready[1] or ''
local namespace, name = pod:match('^(.-)/(.+)$')
local to = name and 'pending' or 'launching'
redis.call('HSET', attempt_key, 'warm', pod, 'warm_generation', generation)
if name then
  redis.call('ZREM', warm_ready_key, pod)
  shared('HSET', warm_taken_key, pod, id .. ' ' .. now)
  redis.call('EXPIRE', warm_taken_key, kept_seconds)
  redis.call('HSET', attempt_key, 'pod', name, 'namespace', namespace, 'holder', name, 'note', '')
elseif not decided then
  return {1, ''}
end
if state ~= to then
  redis.call('HSET', attempt_key, 'state', to, to .. '_at', now)
  redis.call('EXPIRE', attempt_key, live_seconds)
  shared('XADD', events_key, '*', 'attempt', id, 'state', to, 'generation', generation, 'owner', known[3] or '',
    'pool', known[4] or '', 'holder', name or '')
end
return {1, pod}
