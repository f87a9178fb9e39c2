-- Stands before every other script.

-- Tells whether an answer of redis.pcall is the complaint that the key holds a value of another type.
local function holds_other(answer)
  return type(answer) == 'table' and answer.err ~= nil
    and string.find(tostring(answer.err), 'WRONGTYPE', 1, true) ~= nil
end

-- Raises an error that is anything else: an outage, a missing permission.
local function check(answer)
  if type(answer) == 'table' and answer.err and not holds_other(answer) then
    -- Before Redis 7 an error is text; since then only a table keeps its code.
    error(redis.REDIS_VERSION_NUM and answer or answer.err, 0)
  end
  return answer
end

-- Runs a command on a key that all attempts share (an index, the events, a lease). Where that key holds something
-- else, it is dropped and made anew: the records are the truth, and one bad key must not stop every attempt.
local function shared(command, key, ...)
  local answer = check(redis.pcall(command, key, ...))
  if holds_other(answer) then
    redis.call('DEL', key)
    answer = redis.call(command, key, ...)
  end
  return answer
end

-- Tells which data Redis holds, and since when it may have fallen back: {epoch, milliseconds or 0}.
--
-- A server has another replication id after each start and each fail-over. Then the last changes may be lost: another
-- epoch begins, and what was submitted before must not start until everybody has told what they know.
local function epoch_of(prefix, proposal, kept_seconds, settling_seconds)
  local told = redis.pcall('INFO', 'replication')
  local home = type(told) == 'string' and told:match('master_replid:(%x+)') or ''
  local known, known_home = shared('GET', prefix .. 'epoch'), shared('GET', prefix .. 'home')
  local has_moved = known and home ~= '' and known_home and known_home ~= home
  if has_moved then
    local clock = redis.call('TIME')
    local now = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
    redis.call('SET', prefix .. 'unsettled', now, 'EX', settling_seconds)
  end
  if has_moved or not known then
    known = proposal
    redis.call('SET', prefix .. 'epoch', known, 'EX', kept_seconds)
  end
  if home ~= '' and known_home ~= home then
    redis.call('SET', prefix .. 'home', home, 'EX', kept_seconds)
  end
  return {known, tonumber(shared('GET', prefix .. 'unsettled') or '0') or 0}
end

