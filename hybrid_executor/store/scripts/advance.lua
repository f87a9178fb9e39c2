-- Changes the state of one attempt if that is legal, with everything that follows from it, in one step.
--
-- KEYS[1] attempt record   KEYS[2] events stream
-- ARGV[1] key prefix       ARGV[2] attempt id        ARGV[3] new state
-- ARGV[4] states it may come from, as ",a,b,"        ARGV[5] generation it must have, "" for any
-- ARGV[6] 1: generation rises                        ARGV[7] 1: the new state is terminal
-- ARGV[8] 1: payload and overrides are not needed any more
-- ARGV[9] seconds that a terminal record is kept     ARGV[10] seconds that a live record is kept
-- ARGV[11] what to put on the launch stream of the record's cluster: "launch", "delete", or "" for nothing
-- ARGV[12] "group|cluster" and ARGV[13] entry id of the launch that this outcome acknowledges, "" for none
-- ARGV[14..] field, value, ... to write ("holder" and "reason" also travel in the event)
--
-- Answers {code, state, generation, holder}; code 1: changed, 0: not legal from its state (a duplicate, late or
-- superseded), -1: no such record, -2: another generation, -3: the key of the record or of the launch stream holds
-- something else.
local prefix, id, to = ARGV[1], ARGV[2], ARGV[3]
local known = check(redis.pcall('HMGET', KEYS[1], 'state', 'generation', 'owner', 'pool', 'cluster', 'holder',
  'namespace', 'pod'))
local state, generation, cluster = known[1], tonumber(known[2] or '0') or 0, known[5] or ''
local function acknowledge()
  if ARGV[13] ~= '' then
    local stream = prefix .. 'launch:' .. ARGV[12]:match('^[^|]*|(.*)$')
    if not holds_other(check(redis.pcall('XDEL', stream, ARGV[13]))) then
      redis.pcall('XACK', stream, ARGV[12]:match('^[^|]*'), ARGV[13])
    end
  end
end
if holds_other(known) then
  acknowledge()
  return {-3, '', 0, ''}
end
if not state then
  acknowledge()
  return {-1, '', 0, ''}
end
if ARGV[5] ~= '' and tonumber(ARGV[5]) ~= generation then
  acknowledge()
  return {-2, state, generation, known[6] or ''}
end
if not string.find(ARGV[4], ',' .. state .. ',', 1, true) then
  acknowledge()
  return {0, state, generation, known[6] or ''}
end
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
if ARGV[6] == '1' then
  generation = generation + 1
end
local holder, reason = known[6] or '', ''
for i = 14, #ARGV, 2 do
  if ARGV[i] == 'holder' then
    holder = ARGV[i + 1]
  elseif ARGV[i] == 'reason' then
    reason = ARGV[i + 1]
  end
end
if ARGV[11] == 'launch' and holds_other(check(redis.pcall('XADD', prefix .. 'launch:' .. cluster, '*', 'op', 'launch',
    'attempt', id, 'generation', generation))) then
  return {-3, state, generation, holder}
end
redis.call('HSET', KEYS[1], 'state', to, 'generation', generation, to .. '_at', now, 'reason', reason,
  unpack(ARGV, 14))
if ARGV[8] == '1' then
  redis.call('DEL', prefix .. 'payload:' .. id, prefix .. 'overrides:' .. id)
end
if ARGV[7] == '1' then
  redis.call('HSET', KEYS[1], 'ended_at', now)
  redis.call('EXPIRE', KEYS[1], ARGV[9])
  shared('SREM', prefix .. 'owner:' .. (known[3] or ''), id)
  shared('SREM', prefix .. 'live:' .. (known[4] or ''), id)
else
  redis.call('EXPIRE', KEYS[1], ARGV[10])
end
shared('XADD', KEYS[2], '*', 'attempt', id, 'state', to, 'generation', generation, 'owner', known[3] or '',
  'pool', known[4] or '', 'holder', holder, 'reason', reason)
if ARGV[11] == 'launch' then
  redis.call('HSET', KEYS[1], 'launches', (tonumber(redis.call('HGET', KEYS[1], 'launches') or '0') or 0) + 1)
elseif ARGV[11] == 'delete' and cluster ~= '' and known[8] then
  check(redis.pcall('XADD', prefix .. 'launch:' .. cluster, '*', 'op', 'delete', 'attempt', id, 'generation', generation,
    'namespace', known[7] or '', 'pod', known[8]))
end
acknowledge()
return {1, to, generation, holder}
