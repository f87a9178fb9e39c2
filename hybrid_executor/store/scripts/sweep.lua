-- Drops attempts from a pool's set whose record is gone or has ended, a part of the set at a time.
--
-- KEYS[1] set of live attempts   ARGV[1] key prefix   ARGV[2] cursor   ARGV[3] how many to look at, about
--
-- Answers the next cursor, "0" at the end.
local found = shared('SSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
for _, id in ipairs(found[2]) do
  local known = check(redis.pcall('HMGET', ARGV[1] .. 'attempt:' .. id, 'state'))
  local state = known[1]
  if holds_other(known) or not state or state == 'succeeded' or state == 'failed' or state == 'revoked' then
    redis.call('SREM', KEYS[1], id)
  end
end
return found[1]
