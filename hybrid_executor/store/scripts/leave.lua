-- Lets an attempt leave its target whose pod may exist and has not started. The pod goes first: its agent is told, and
-- when it is certain that there is none, the record waits for its owner, who moves it.
--
-- May be repeated: an agent is told each time.
--
-- Answers 1 where the attempt is to leave, 0 where it is not as expected.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'cluster', 'namespace', 'pod'))
local state = known[1]
if is_wrong_type(known) or (state ~= 'launching' and state ~= 'pending')
    or (tonumber(known[2] or '0') or 0) ~= generation then
  return 0
end
redis.call('HSET', attempt_key, 'leaving', because)
local cluster, pod = known[3] or '', known[5] or ''
if state == 'pending' and cluster ~= '' and pod ~= '' then
  check(redis.pcall('XADD', prefix .. LAUNCH .. cluster, '*', 'op', 'withdraw', 'attempt', id, 'generation', generation,
    'namespace', known[4] or '', 'pod', pod))
end
return 1
