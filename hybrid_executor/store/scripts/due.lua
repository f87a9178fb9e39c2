-- Notes that the pod of a pending attempt waits for its workload, and puts its hand-over on the launch stream of its
-- cluster: once for each generation of the record.
--
-- Answers 1 where it was noted now, 0 where it was noted before or there is nothing to hand over, -3 where the key of the
-- record or of the launch stream holds another type.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'cluster', 'hand_over', 'schema', 'warm', 'warm_generation'))
if is_wrong_type(known) then
  return -3
end
if known[1] ~= 'pending' or (tonumber(known[2] or '0') or 0) ~= generation
    or (tonumber(known[5] or '0') or 0) > tonumber(SCHEMA) or (tonumber(known[4] or '-1') or -1) == generation then
  return 0
end
-- A warm pod that this launch was given is the only one that gets the workload.
if (known[6] or '') ~= '' and (tonumber(known[7] or '-1') or -1) == generation then
  return 0
end
local entry = check(redis.pcall('XADD', prefix .. LAUNCH .. (known[3] or ''), '*', 'op', 'launch', 'attempt', id,
    'generation', generation))
if is_wrong_type(entry) then
  return -3
end
-- An agent that still has the entry of the pod's creation must not hand over as well.
redis.call('HSET', attempt_key, 'hand_over', generation, 'hand_over_entry', entry, 'namespace', namespace, 'pod', pod,
  'holder', pod)
return 1
