-- Writes the record of a live attempt anew after Redis lost it. A record that exists stays as it is, but for one that has
-- fallen back to an older generation, where that is asked for.
--
-- KEYS[1] attempt record   KEYS[2] events stream
-- ARGV[1] key prefix   ARGV[2] attempt id   ARGV[3] owner   ARGV[4] pool   ARGV[5] state   ARGV[6] generation
-- ARGV[7] seconds that a live record is kept   ARGV[8] 1: in place of a live record of an older generation, too
-- ARGV[9..] field, value, ...
--
-- Answers 1 where it was written.
local prefix, id = ARGV[1], ARGV[2]
local known = check(redis.pcall('HMGET', KEYS[1], 'state', 'generation', 'ended_at'))
if holds_other(known) then
  return 0
end
if known[1] and (ARGV[8] ~= '1' or known[3] or (tonumber(known[2] or '0') or 0) >= tonumber(ARGV[6])) then
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
redis.call('HSET', KEYS[1], 'id', id, 'owner', ARGV[3], 'pool', ARGV[4], 'state', ARGV[5], 'generation', ARGV[6],
  ARGV[5] .. '_at', now, unpack(ARGV, 9))
redis.call('HSETNX', KEYS[1], 'submitted_at', now)
redis.call('EXPIRE', KEYS[1], ARGV[7])
for _, key in ipairs({prefix .. 'owner:' .. ARGV[3], prefix .. 'live:' .. ARGV[4]}) do
  shared('SADD', key, id)
  redis.call('EXPIRE', key, ARGV[7])
end
shared('XADD', KEYS[2], '*', 'attempt', id, 'state', ARGV[5], 'generation', ARGV[6], 'owner', ARGV[3],
  'pool', ARGV[4])
return 1
