-- Token bucket shared by all agents, on the server's clock.
--
-- KEYS[1] bucket
-- ARGV[1] tokens wanted   ARGV[2] tokens per second   ARGV[3] capacity
--
-- Answers {tokens granted, milliseconds until one more is there}.
local wanted, rate, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local known = shared('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(capacity, (tonumber(known[1] or ARGV[3]) or capacity)
  + math.max(0, now - (tonumber(known[2] or now) or now)) * rate / 1000)
local granted = math.min(wanted, math.floor(tokens))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%d', now))
redis.call('EXPIRE', KEYS[1], 3600)
local wait = 0
if granted < wanted then
  wait = math.ceil((1 - tokens) * 1000 / rate)
end
return {granted, wait}
