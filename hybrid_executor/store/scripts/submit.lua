-- Records a batch of attempts as submitted, with all that their pools need, in one step.
--
-- Answers the new generation of each attempt, 0 where the record was not as expected (submitted already, moved on).
-- Where a key holds another type, nothing is written for that attempt: -1 the record's, -2 the queue's, -3 the launch
-- stream's.
local now = string.format('%d', server_time())
local answers = {}
destinations = cjson.decode(destinations)
for i = items_at, #ARGV, 4 do
  local item, message, payload, overrides = cjson.decode(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local id, destination, first_key = item.id, destinations[item.destination], item.first_key
  local owner, queue_key, launch_key = destination.owner, destination.queue_key, destination.launch_key
  local attempt_key, payload_key, overrides_key = KEYS[first_key], KEYS[first_key + 1], KEYS[first_key + 2]
  local known = check(redis.pcall('HMGET', attempt_key, 'generation', 'state', 'owner'))
  local generation = tonumber(known[1] or '0') or 0
  if is_wrong_type(known) then
    answers[#answers + 1] = -1
  elseif generation ~= item.expected_generation or (known[2] and is_among(known[2], terminal)) then
    answers[#answers + 1] = 0
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
    redis.call('HSET', attempt_key, 'id', id, 'schema', SCHEMA, 'state', 'submitted', 'owner', owner,
      'pool', destination.pool,
      'generation', generation, 'holder', '', 'reason', '', 'submitted_at', now, unpack(item.fields))
    if generation > 1 then
      redis.call('HSET', attempt_key, 'launches',
        (tonumber(redis.call('HGET', attempt_key, 'launches') or '0') or 0) + 1)
      redis.call('HDEL', attempt_key, 'received_by', 'sent')
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
  end
end
return answers
