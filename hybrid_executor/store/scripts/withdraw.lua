-- Takes an announcement back, unless somebody else has made it since.
--
-- KEYS  1 the member's hash   2 the sorted set of members
-- ARGV  1 name   2 life of the one that leaves, '' for whoever
-- Returns 1, or 0 where the announcement is another one's.

local life = redis.call('HGET', KEYS[1], 'life')
if ARGV[2] ~= '' and life and life ~= ARGV[2] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
