-- Writes the record of a live attempt anew after Redis lost it. A record that exists stays as it is.
--
-- KEYS[1] attempt record   KEYS[2] events stream
-- ARGV[1] key prefix   ARGV[2] attempt id   ARGV[3] owner   ARGV[4] pool   ARGV[5] state   ARGV[6] generation
-- ARGV[7] seconds that a live record is kept   ARGV[8..] field, value, ...
--
-- Answers 1 where it was written.
local prefix, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
redis.call('HSET', KEYS[1], 'id', id, 'owner', ARGV[3], 'pool', ARGV[4], 'state', ARGV[5], 'generation', ARGV[6],
  'submitted_at', now, ARGV[5] .. '_at', now, unpack(ARGV, 8))
redis.call('EXPIRE', KEYS[1], ARGV[7])
redis.call('SADD', prefix .. 'owner:' .. ARGV[3], id)
redis.call('SADD', prefix .. 'live:' .. ARGV[4], id)
redis.call('XADD', KEYS[2], '*', 'attempt', id, 'state', ARGV[5], 'generation', ARGV[6], 'owner', ARGV[3],
  'pool', ARGV[4])
return 1
