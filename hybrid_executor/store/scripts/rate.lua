-- Token bucket shared by all agents, on the server's clock.
--
-- Answers {tokens granted, milliseconds until one more is there}.
local now = server_time()
local known = shared('HMGET', rate_key, 'tokens', 'at')
local tokens = math.min(capacity, (tonumber(known[1] or capacity) or capacity)
  + math.max(0, now - (tonumber(known[2] or now) or now)) * per_second / 1000)
local granted = math.min(wanted, math.floor(tokens))
tokens = tokens - granted
redis.call('HSET', rate_key, 'tokens', string.format('%.6f', tokens), 'at', string.format('%d', now))
redis.call('EXPIRE', rate_key, 3600)
local wait = 0
if granted < wanted then
  wait = math.ceil((1 - tokens) * 1000 / per_second)
end
return {granted, wait}
