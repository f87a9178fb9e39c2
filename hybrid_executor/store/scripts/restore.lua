-- Writes the record of a live attempt again after Redis lost it. A record that exists stays as it is, unless it has
-- fallen back to an older generation and is to be replaced. Then it keeps its owner: another scheduler may have adopted
-- the attempt since whoever writes it again heard of it.
--
-- Answers 1 where it was written.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'ended_at', 'owner'))
if is_wrong_type(known) then
  return 0
end
if known[1] and (not replaces_older or known[3] or (tonumber(known[2] or '0') or 0) >= generation) then
  return 0
end
if (known[4] or '') ~= '' then
  owner, owner_key = known[4], prefix .. OWNER .. known[4]
end
local now = string.format('%d', server_time())
redis.call('HSET', attempt_key, 'id', id, 'schema', SCHEMA, 'owner', owner, 'pool', pool, 'state', state, 'generation', generation,
  state .. '_at', now, unpack(ARGV, fields_at))
redis.call('HSETNX', attempt_key, 'submitted_at', now)
redis.call('EXPIRE', attempt_key, live_seconds)
for _, key in ipairs({owner_key, live_key}) do
  shared('SADD', key, id)
  redis.call('EXPIRE', key, live_seconds)
end
local placed = redis.call('HMGET', attempt_key, 'route', 'target', 'placed_at')
if placed[1] and placed[1] ~= '' and placed[2] then
  local place_key = prefix .. PLACE .. placed[1] .. '>' .. placed[2]
  shared('ZADD', place_key, tonumber(placed[3] or '0') or 0, id)
  redis.call('EXPIRE', place_key, live_seconds)
end
shared('XADD', events_key, '*', 'attempt', id, 'state', state, 'generation', generation, 'owner', owner, 'pool', pool,
  'schema', SCHEMA)
return 1
