-- Asks the owner of a pending attempt for a new workload: the one that it came with has expired. The question is an event
-- of the attempt's present state, so it changes nothing where nobody understands it.
--
-- Answers 1 where the question was put.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'generation', 'owner', 'pool', 'holder', 'namespace',
  'schema'))
if is_wrong_type(known) or known[1] ~= 'pending' or (tonumber(known[2] or '0') or 0) ~= generation
    or (tonumber(known[7] or '0') or 0) > tonumber(SCHEMA) then
  return 0
end
shared('XADD', events_key, '*', 'attempt', id, 'state', known[1], 'generation', generation, 'owner', known[3] or '',
  'pool', known[4] or '', 'holder', known[5] or '', 'reason', '', 'namespace', known[6] or '', 'schema', SCHEMA,
  'wants', 'workload')
return 1
