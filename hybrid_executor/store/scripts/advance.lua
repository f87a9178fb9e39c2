-- Changes the state of one attempt if that is legal, with everything that follows from it, in one step.
--
-- "holder", "reason" and "namespace" among the fields also travel in the event. Which sets and which launch stream the
-- attempt is in depends on its record, so their keys are made here.
--
-- An attempt that is to leave its target ("leaving") becomes "submitted" when its pod is gone, and on no stream.
--
-- Answers {code, state, generation, holder}; code 1: changed, 0: not legal from its state (a duplicate, late or
-- superseded, or a record of a newer release), -1: no such record, -2: another generation or another pod, -3: the key of
-- the record or of the launch stream holds another type, -4: the attempt is for workers by now, and its pod has no workload.
local BEFORE_START = ',submitted,launching,pending,'
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'owner', 'pool', 'cluster', 'holder',
  'namespace', 'pod', 'schema', 'route', 'target', 'leaving', 'pods_left'))
local function acknowledge()
  if acknowledged_key and not is_wrong_type(check(redis.pcall('XDEL', acknowledged_key, acknowledged_id))) then
    redis.pcall('XACK', acknowledged_key, LAUNCH_GROUP, acknowledged_id)
  end
end
if is_wrong_type(known) then
  acknowledge()
  return {-3, '', 0, ''}
end
local state, known_generation, owner, pool = known[1], tonumber(known[2] or '0') or 0, known[3] or '', known[4] or ''
local cluster, holder, namespace, pod = known[5] or '', known[6] or '', known[7] or '', known[8]
if not state then
  acknowledge()
  return {-1, '', 0, ''}
end
-- A pod that was created before Redis lost its data gets no workload for an attempt that waits for workers again.
if needs_workload and pool ~= '' and pool ~= 'kubernetes' then
  acknowledge()
  return {-4, state, known_generation, holder}
end
-- A pod that failed before its task started says nothing about the pod that the attempt has now.
local is_of_other_pod = only_pod ~= '' and is_among(state, ',launching,pending,running,') and pod and pod ~= ''
  and pod ~= only_pod
if (generation and generation ~= known_generation) or is_of_other_pod then
  acknowledge()
  return {-2, state, known_generation, holder}
end
if not is_among(state, sources) or (tonumber(known[9] or '0') or 0) > tonumber(SCHEMA) then
  acknowledge()
  return {0, state, known_generation, holder}
end
-- A pod that was created before Redis lost its data cannot be launched again for an attempt that is for workers by now.
if operation == 'launch' and pool ~= 'kubernetes' then
  if state == 'submitted' then
    acknowledge()
    return {0, state, known_generation, holder}
  end
  to, operation, raises_generation, is_started = 'lost', '', false, true -- its owner decides
end
local now = string.format('%d', server_time())
-- An attempt that is to leave its target, or had its last pod there, is put on no launch stream: its owner moves it.
local leaving, pods_left = known[12] or '', tonumber(known[13] or '')
local is_withdrawn = leaving ~= '' and (operation == 'launch' or (may_park and is_among(state, BEFORE_START)))
local is_further_launch = operation == 'launch' and not is_withdrawn
if is_further_launch and pods_left then
  pods_left = pods_left - 1
  leaving = pods_left <= 0 and 'tries' or ''
end
local is_parked = is_withdrawn or (is_further_launch and leaving ~= '')
if is_parked then
  to, operation, raises_generation, is_terminal, is_started = 'submitted', '', true, false, false
  kept_seconds = live_seconds
end
local new_generation = raises_generation and known_generation + 1 or known_generation
local reason = ''
for i = fields_at, #ARGV, 2 do
  if ARGV[i] == 'holder' then
    holder = ARGV[i + 1]
  elseif ARGV[i] == 'reason' then
    reason = ARGV[i + 1]
  elseif ARGV[i] == 'namespace' then
    namespace = ARGV[i + 1]
  end
end
if is_parked then
  holder = ''
end
if operation == 'launch' and is_wrong_type(check(redis.pcall('XADD', prefix .. LAUNCH .. cluster, '*', 'op', 'launch',
    'attempt', id, 'generation', new_generation))) then
  return {-3, state, new_generation, holder}
end
redis.call('HSET', attempt_key, 'state', to, 'generation', new_generation, to .. '_at', now, 'reason', reason,
  unpack(ARGV, fields_at))
if is_started then
  redis.call('DEL', payload_key, overrides_key)
end
if is_terminal then
  redis.call('HSET', attempt_key, 'ended_at', now)
  shared('SREM', prefix .. OWNER .. owner, id)
  shared('SREM', prefix .. LIVE .. pool, id)
  leave_place(prefix, known[10], known[11], id)
end
if is_parked then
  redis.call('HSET', attempt_key, 'leaving', leaving, 'holder', '')
end
if is_further_launch and pods_left then
  redis.call('HSET', attempt_key, 'pods_left', pods_left)
end
redis.call('EXPIRE', attempt_key, kept_seconds)
shared('XADD', events_key, '*', 'attempt', id, 'state', to, 'generation', new_generation, 'owner', owner,
  'pool', pool, 'holder', holder, 'reason', reason, 'namespace', namespace, 'schema', SCHEMA)
if is_further_launch then
  redis.call('HSET', attempt_key, 'launches', (tonumber(redis.call('HGET', attempt_key, 'launches') or '0') or 0) + 1)
elseif operation == 'delete' and cluster ~= '' and pod then
  check(redis.pcall('XADD', prefix .. LAUNCH .. cluster, '*', 'op', 'delete', 'attempt', id, 'generation', new_generation,
    'namespace', namespace, 'pod', pod))
end
acknowledge()
return {1, to, new_generation, holder}
