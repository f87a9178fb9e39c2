-- Gives a waiting pod to an attempt, or decides that the attempt gets a pod of its own. For each generation of the
-- record this is decided once: whoever asks again, or takes the launch over, gets the same answer. So no generation ever
-- has two pods.
--
-- Only an attempt that was to get a pod of its own, and whose turn to be created has just come ("is_last_call"), may
-- still get a waiting one that nobody else waits for: nobody has said yet that its own is created. With a waiting pod it
-- becomes pending, and then nobody can say so any more.
--
-- warm_ready_key: sorted set of waiting pods, "namespace/name", by the time in ms when each was first offered
-- warm_taken_key: hash of pods that were given away and may still look as if they waited, to "attempt ms"
-- warm_starting_key: how many pods start, and will be offered soon, and for how many seconds attempts wait for them
-- warm_waiters_key: sorted set of attempts that wait for one of these, by the time in ms since when
-- warm_demand_key: hash of attempts that asked, by their time in units of "bucket_seconds"
--
-- With a pod the record becomes pending, and from then on no agent creates a pod for this generation.
--
-- A pod that starts is ready sooner than one that is not created yet. So as long as enough of them start for those that
-- came before and for this one, the attempt waits, at most so long (wait_seconds where an older keeper does not say how
-- long). Those that wait longest get the first ones.
--
-- Answers {code, pod}; code 1: decided now, 2: decided before, 3: not decided, ask again soon, 0: there is nothing to
-- launch. The pod is "" for none.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'owner', 'pool', 'warm', 'warm_generation'))
if is_wrong_type(known) or not known[1] or (tonumber(known[2] or '0') or 0) ~= generation then
  return {0, ''}
end
local state, is_decided = known[1], tonumber(known[6] or '-1') == generation
local pod = is_decided and known[5] or ''
if pod ~= '' then
  return state == 'pending' and {2, pod} or {0, ''}
end
local is_late = is_decided and is_last_call and state == 'submitted'
-- Without a decision, an agent without warm pods creates a pod.
if (is_decided or state == 'launching') and not is_late then
  return {(state == 'submitted' or state == 'launching') and 2 or 0, ''}
end
if state ~= 'submitted' then
  return {0, ''}
end
local time = server_time()
local now = string.format('%d', time)
local starting, patience = (shared('GET', warm_starting_key) or ''):match('^(%d+) ?(%d*)$')
patience = tonumber(patience or '') or wait_seconds
-- Who has not asked for so long does not wait any more: the attempt was revoked, or its agent has ended.
shared('ZREMRANGEBYSCORE', warm_waiters_key, '-inf', time - 1500 * patience)
local since, ahead = tonumber(redis.call('ZSCORE', warm_waiters_key, id) or ''), 0
for _, waiter in ipairs(redis.call('ZRANGE', warm_waiters_key, 0, -1)) do
  if waiter == id then
    break
  end
  ahead = ahead + 1
end
if not since and not is_late then
  shared('HINCRBY', warm_demand_key, string.format('%d', math.floor(time / 1000 / bucket_seconds)), 1)
  redis.call('EXPIRE', warm_demand_key, kept_seconds)
end
local ready = shared('ZCARD', warm_ready_key)
if is_late and ahead >= ready then
  return {2, ''}
end
if ahead >= ready and time - (since or time) < 1000 * patience then
  if ahead < ready + (tonumber(starting or '') or 0) then
    redis.call('ZADD', warm_waiters_key, 'NX', now, id)
    redis.call('EXPIRE', warm_waiters_key, kept_seconds)
    return {3, ''}
  end
end
pod = ahead < ready and redis.call('ZRANGE', warm_ready_key, 0, 0)[1] or ''
redis.call('ZREM', warm_waiters_key, id)
redis.call('HSET', attempt_key, 'warm', pod, 'warm_generation', generation)
local namespace, name = pod:match('^(.-)/(.+)$')
if not name then
  return {1, ''}
end
redis.call('ZREM', warm_ready_key, pod)
shared('HSET', warm_taken_key, pod, id .. ' ' .. now)
redis.call('EXPIRE', warm_taken_key, kept_seconds)
redis.call('HSET', attempt_key, 'state', 'pending', 'pending_at', now, 'pod', name, 'namespace', namespace,
  'holder', name, 'note', '', 'reason', '')
redis.call('EXPIRE', attempt_key, live_seconds)
shared('XADD', events_key, '*', 'attempt', id, 'state', 'pending', 'generation', generation, 'owner', known[3] or '',
  'pool', known[4] or '', 'holder', name, 'namespace', namespace, 'schema', SCHEMA)
return {1, pod}
