-- Replaces the set of waiting pods of one kind by those that the keeper has just seen. Pods that were given away are
-- not offered again; they are forgotten when the keeper sees them no more.
--
-- pods: all that wait; only the first offered_count of them may be given away
--
-- Answers 0 where a newer keeper has taken over, else {pods that are offered, pod, "attempt ms", pod, "attempt ms", ...}
-- with those that were given away and still look as if they waited.
if (tonumber(shared('HGET', lease_key, 'fence') or '0') or 0) > fence then
  return 0
end
local now = server_time()
local seen, answer, offered = {}, {0}, {}
for i = pods_at, #ARGV do
  seen[ARGV[i]] = i - pods_at < offered_count and 'offered' or 'held'
end
local taken = shared('HGETALL', warm_taken_key)
for i = 1, #taken, 2 do
  if seen[taken[i]] then
    answer[#answer + 1] = taken[i]
    answer[#answer + 1] = taken[i + 1]
    seen[taken[i]] = nil
  else
    redis.call('HDEL', warm_taken_key, taken[i])
  end
end
for _, pod in ipairs(shared('ZRANGE', warm_ready_key, 0, -1)) do
  if seen[pod] == 'offered' then
    offered[pod] = true
  else
    redis.call('ZREM', warm_ready_key, pod)
  end
end
for pod, how in pairs(seen) do
  if how == 'offered' then
    answer[1] = answer[1] + 1
    if not offered[pod] then
      redis.call('ZADD', warm_ready_key, string.format('%d', now), pod)
    end
  end
end
redis.call('EXPIRE', warm_ready_key, kept_seconds)
redis.call('EXPIRE', warm_taken_key, kept_seconds)
if starting > 0 then
  redis.call('SET', warm_starting_key, string.format('%d %d', starting, wait_seconds), 'EX', starting_seconds)
else
  redis.call('DEL', warm_starting_key)
end
return answer
