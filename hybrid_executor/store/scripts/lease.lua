-- Takes, renews or gives back a lease. Time is the server's; the fencing number rises with each change of holder.
--
-- Answers the fencing number, 0 where another holds it (take) or it was not held (release).
local now = server_time()
local known = shared('HMGET', lease_key, 'holder', 'until', 'fence')
local known_holder, valid_until, fence = known[1] or '', tonumber(known[2] or '0') or 0, tonumber(known[3] or '0') or 0
if is_release then
  if known_holder ~= holder then
    return 0
  end
  redis.call('HSET', lease_key, 'holder', '', 'until', 0)
  return fence
end
if known_holder ~= holder then
  if known_holder ~= '' and valid_until > now then
    return 0
  end
  fence = fence + 1
elseif valid_until <= now then
  fence = fence + 1
end
redis.call('HSET', lease_key, 'holder', holder, 'until', string.format('%d', now + milliseconds), 'fence', fence)
redis.call('EXPIRE', lease_key, 86400)
return fence
