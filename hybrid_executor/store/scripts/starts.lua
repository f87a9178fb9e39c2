-- Which pods are on their way to their task's start, and how many of them there may be.
--
-- starting_key: sorted set of attempts, by the time in ms from which they do not count any more
-- pace_key: hash of limit, limit_at, lowered_at, reported_at, best_ms (of a start)
--
-- what:
-- "admit"    let pods be created, in this order; answers {how many, limit}
-- "leave"    they are no pods on their way: refused, unschedulable, failed
-- "run"      their containers run; where somebody reports starts, they are on their way until that report
-- "started"  their tasks have started
-- "ended"    their tasks have ended well, perhaps long after their start
-- "report"   somebody will report starts
--
-- The adaptive limit follows the time from a running container to its started task. While the limit is used, it rises
-- by one for each start of at most 10 s, so it doubles with each round; by one a round where starts take longer, but
-- not longer than they take at best in this cluster. It is halved when starts get slow, since then they only wait for
-- each other.
local FIRST, LEAST, MOST = 8, 2, 10000
local PENDING_MS, RUNNING_MS = 30000, 120000
local QUICK_MS, SLOW_MS, TOO_SLOW_MS, HALVE_EVERY_MS = 10000, 20000, 45000, 10000
local KEEP_LIMIT_MS, REPORT_MS, KEEP_SECONDS = 3600000, 30000, 7200

local now = server_time()
local pace = redis.call('HMGET', pace_key, 'limit', 'limit_at', 'lowered_at', 'reported_at', 'best_ms')
local limit = tonumber(pace[1] or FIRST)
if now - tonumber(pace[2] or now) > KEEP_LIMIT_MS then
  limit = FIRST
end
redis.call('ZREMRANGEBYSCORE', starting_key, '-inf', now)
local starting = redis.call('ZCARD', starting_key)

local function set_limit(value)
  limit = value
  redis.call('HSET', pace_key, 'limit', string.format('%.3f', limit), 'limit_at', string.format('%d', now))
  redis.call('EXPIRE', pace_key, KEEP_SECONDS)
end

-- The times of pods whose container runs end in half a millisecond, which tells them from the others.
local function runs(score)
  return score % 1 ~= 0
end

local function finish(attempt, ms)
  local best = tonumber(pace[5] or ms)
  if ms > 0 then
    best = math.min(ms, best * 1.02) -- rises slowly, for what has changed since
    pace[5] = best
    redis.call('HSET', pace_key, 'best_ms', string.format('%d', best))
    redis.call('EXPIRE', pace_key, KEEP_SECONDS)
  end
  local is_slow = ms > TOO_SLOW_MS or (ms > SLOW_MS and ms > best * 1.5)
  if ms <= QUICK_MS and starting * 2 >= limit and limit < MOST then
    set_limit(limit + 1)
  elseif ms <= TOO_SLOW_MS and ms <= best * 1.2 + 1000 and starting * 2 >= limit and limit < MOST then
    set_limit(limit + 1 / limit)
  elseif is_slow and now - tonumber(pace[3] or 0) >= HALVE_EVERY_MS then
    set_limit(math.max(LEAST, math.floor(limit / 2)))
    pace[3] = now
    redis.call('HSET', pace_key, 'lowered_at', now)
  end
  redis.call('ZREM', starting_key, attempt)
end

if what == 'admit' then
  local wanted = #ARGV - attempts_at + 1
  local room = math.max(0, (fixed_limit > 0 and fixed_limit or math.floor(limit)) - starting)
  local granted = math.min(wanted, room)
  for i = attempts_at, attempts_at + granted - 1 do
    redis.call('ZADD', starting_key, now + PENDING_MS, ARGV[i])
  end
  if granted > 0 then
    redis.call('EXPIRE', starting_key, KEEP_SECONDS)
  end
  return {granted, math.floor(limit)}
end
if what == 'report' then
  redis.call('HSET', pace_key, 'reported_at', now)
  redis.call('EXPIRE', pace_key, KEEP_SECONDS)
end
local is_reported = now - tonumber(pace[4] or 0) <= REPORT_MS
for i = attempts_at, #ARGV do
  local score = tonumber(redis.call('ZSCORE', starting_key, ARGV[i]) or '0')
  if score == 0 or what == 'leave' then
    redis.call('ZREM', starting_key, ARGV[i])
  elseif what == 'run' and is_reported then
    if not runs(score) then
      redis.call('ZADD', starting_key, string.format('%.1f', now + RUNNING_MS + 0.5), ARGV[i])
    end
  elseif what == 'run' then
    finish(ARGV[i], 0)
  else
    local ms = runs(score) and math.floor(now + RUNNING_MS - score) or 0
    if what == 'started' or ms <= QUICK_MS then
      finish(ARGV[i], ms)
    else
      redis.call('ZREM', starting_key, ARGV[i])
    end
  end
end
return {redis.call('ZCARD', starting_key), math.floor(limit)}
