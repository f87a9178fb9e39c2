-- Takes, renews or gives back a lease. Time is the server's; the fencing number rises with each change of holder.
--
-- KEYS[1] lease
-- ARGV[1] "take" or "release"   ARGV[2] holder   ARGV[3] milliseconds that it lasts
--
-- Answers the fencing number, 0 where another holds it (take) or it was not held (release).
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local known = shared('HMGET', KEYS[1], 'holder', 'until', 'fence')
local holder, valid_until, fence = known[1] or '', tonumber(known[2] or '0') or 0, tonumber(known[3] or '0') or 0
if ARGV[1] == 'release' then
  if holder ~= ARGV[2] then
    return 0
  end
  redis.call('HSET', KEYS[1], 'holder', '', 'until', 0)
  return fence
end
if holder ~= ARGV[2] then
  if holder ~= '' and valid_until > now then
    return 0
  end
  fence = fence + 1
elseif valid_until <= now then
  fence = fence + 1
end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', string.format('%d', now + tonumber(ARGV[3])), 'fence', fence)
redis.call('EXPIRE', KEYS[1], 86400)
return fence
