-- Token bucket shared by all agents, on the server's clock.
--
-- The first ``early`` of what is wanted may take tokens that are not there yet, up to ``capacity`` of them: they have
-- waited for less than their share, and what the others have used up already must not delay them. The debt is paid by
-- all.
--
-- Answers {tokens granted, milliseconds until one more is there}.
local now = server_time()
local known = shared('HMGET', rate_key, 'tokens', 'at')
local tokens = math.min(capacity, (tonumber(known[1] or capacity) or capacity)
  + math.max(0, now - (tonumber(known[2] or now) or now)) * per_second / 1000)
local granted = math.max(0, math.min(wanted, math.floor(tokens)), math.min(early, math.floor(tokens + capacity)))
tokens = tokens - granted
redis.call('HSET', rate_key, 'tokens', string.format('%.6f', tokens), 'at', string.format('%d', now))
redis.call('EXPIRE', rate_key, 3600)
local wait = 0
if granted < wanted then
  local there = granted < early and tokens + capacity or tokens
  wait = math.ceil((1 - there) * 1000 / per_second)
end
return {granted, wait}
