-- Drops an attempt from its owner's set where it has no live record of this owner any more.
--
-- KEYS[1] attempt record   KEYS[2] owner's set
-- ARGV[1] attempt id   ARGV[2] owner
--
-- Answers 1 where it was dropped.
local known = check(redis.pcall('HMGET', KEYS[1], 'state', 'owner'))
local ended = known[1] == 'succeeded' or known[1] == 'failed' or known[1] == 'revoked'
if not holds_other(known) and known[1] and not ended and known[2] == ARGV[2] then
  return 0
end
return shared('SREM', KEYS[2], ARGV[1])
