-- Records a batch of attempts as submitted, with all that their pools need, in one step.
--
-- Answers the new generation of each attempt, 0 where the record was not as expected (submitted already, moved on).
-- Where a key holds another type, nothing is written for that attempt: -1 the record's, -2 the queue's, -3 the launch
-- stream's. -4: as many attempts of its route are on this target as may be, and nothing is written either.
--
-- An attempt that goes on to another target leaves what it was on in the same step. Its old message and its old launch are
-- of an older generation, and whoever takes them is refused.
local now = string.format('%d', server_time())
local answers = {}
destinations = cjson.decode(destinations)
local unsettled
-- Returns whether Redis may have gone back to older data since this record was written: then the attempt may have started.
local function may_have_started(submitted_at)
  unsettled = unsettled or epoch_of(epoch_key, home_key, unsettled_key, proposal, epoch_seconds, settling_seconds)[2]
  return unsettled > 0 and (tonumber(submitted_at or '0') or 0) <= unsettled
end
-- Returns whether a target of a route has no room for one more attempt.
local function is_full(destination, id)
  local place_key = KEYS[destination.place_key]
  return destination.most > 0 and not shared('ZSCORE', place_key, id) and shared('ZCARD', place_key) >= destination.most
end
for i = items_at, #ARGV, 4 do
  local item, message, payload, overrides = cjson.decode(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local id, destination, first_key = item.id, destinations[item.destination], item.first_key
  local owner, queue_key, launch_key = destination.owner, destination.queue_key, destination.launch_key
  local attempt_key, payload_key, overrides_key = KEYS[first_key], KEYS[first_key + 1], KEYS[first_key + 2]
  local known = check(redis.pcall('HMGET', attempt_key, 'generation', 'state', 'owner', 'pool', 'route', 'target',
    'submitted_at', 'launches', 'moves'))
  local generation = tonumber(known[1] or '0') or 0
  if is_wrong_type(known) then
    answers[#answers + 1] = -1
  elseif generation ~= item.expected_generation or (known[2] and is_among(known[2], terminal)) then
    answers[#answers + 1] = 0
  elseif item.only_waits and (known[2] ~= 'submitted' or may_have_started(known[7])) then
    answers[#answers + 1] = 0
  elseif is_full(destination, id) then
    answers[#answers + 1] = -4
  elseif queue_key > 0 and is_wrong_type(check(redis.pcall('LPUSH', KEYS[queue_key], message))) then
    answers[#answers + 1] = -2
  elseif launch_key > 0 and is_wrong_type(check(redis.pcall('XADD', KEYS[launch_key], '*', 'op', 'launch',
      'attempt', id, 'generation', generation + 1))) then
    answers[#answers + 1] = -3
  else
    generation = generation + 1
    if known[3] and known[3] ~= owner then
      shared('SREM', prefix .. OWNER .. known[3], id)
    end
    -- Records of older releases do not tell the target.
    local known_target = known[6] or known[4]
    local has_moved = known_target and (known[4] ~= destination.pool or (known[6] and known[6] ~= destination.target))
    if known[4] and known[4] ~= destination.pool then
      shared('SREM', prefix .. LIVE .. known[4], id)
    end
    if has_moved or (known[5] and known[5] ~= destination.route) then
      leave_place(prefix, known[5], known[6], id)
    end
    if generation > 1 then
      redis.call('HDEL', attempt_key, 'received_by', 'sent', 'leaving', 'pods_left')
    end
    if has_moved then
      redis.call('HDEL', attempt_key, 'cluster', 'namespace', 'pod', 'node', 'note', 'category', 'exit_code', 'warm',
        'warm_generation')
    end
    redis.call('HSET', attempt_key, 'id', id, 'schema', SCHEMA, 'state', 'submitted', 'owner', owner,
      'pool', destination.pool, 'target', destination.target,
      'generation', generation, 'holder', '', 'reason', '', 'submitted_at', now, unpack(item.fields))
    local launches = tonumber(known[8] or '0') or 0
    if generation > 1 and (not item.only_waits or not has_moved) then
      launches = launches + 1
      redis.call('HSET', attempt_key, 'launches', launches)
    end
    if generation > 1 then
      redis.call('HSETNX', attempt_key, 'queued_at', known[7] or now)
    end
    if has_moved then
      redis.call('HSET', attempt_key, 'moves', (tonumber(known[9] or '0') or 0) + 1, 'moved_at', now,
        'moved_from', known_target, 'moved_because', item.because, 'placed_launches', launches)
    end
    if destination.place_key > 0 then
      redis.call('HSET', attempt_key, 'route', destination.route, 'placed_at', now)
      shared('ZADD', KEYS[destination.place_key], now, id)
    elseif known[5] then
      redis.call('HDEL', attempt_key, 'route', 'placed_at')
    end
    redis.call('EXPIRE', attempt_key, live_seconds)
    shared('SADD', KEYS[destination.owner_key], id)
    shared('SADD', KEYS[destination.live_key], id)
    destination.is_used = true
    redis.call('SET', payload_key, payload, 'EX', payload_seconds)
    if overrides ~= '' then
      redis.call('SET', overrides_key, overrides, 'EX', payload_seconds)
    end
    shared('XADD', events_key, '*', 'attempt', id, 'state', 'submitted', 'generation', generation,
      'owner', owner, 'pool', destination.pool, 'schema', SCHEMA)
    answers[#answers + 1] = generation
  end
end
-- A set of live attempts that nobody changes any more goes away by itself.
for _, destination in ipairs(destinations) do
  if destination.is_used then
    redis.call('EXPIRE', KEYS[destination.owner_key], live_seconds)
    redis.call('EXPIRE', KEYS[destination.live_key], live_seconds)
    if destination.place_key > 0 then
      redis.call('EXPIRE', KEYS[destination.place_key], live_seconds)
    end
  end
end
return answers
