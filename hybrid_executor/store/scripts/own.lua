-- Stands before every other script. After it come the local variables that calls.py names for the script.

-- Returns whether an answer of redis.pcall is the error that the key holds a value of another type, by the error's code.
local function is_wrong_type(answer)
  return type(answer) == 'table' and answer.err ~= nil and tostring(answer.err):match('^%-?(%u+)') == 'WRONGTYPE'
end

-- Raises an error that is anything else: an outage, a missing permission.
local function check(answer)
  if type(answer) == 'table' and answer.err and not is_wrong_type(answer) then
    -- Before Redis 7 an error is text; since then only a table keeps its code.
    error(redis.REDIS_VERSION_NUM and answer or answer.err, 0)
  end
  return answer
end

-- Runs a command on a key that all attempts share (an index, the events, a lease). Where that key holds
-- another type, it is deleted and written again: the records are the truth, and one bad key must not stop every attempt.
local function shared(command, key, ...)
  local answer = check(redis.pcall(command, key, ...))
  if is_wrong_type(answer) then
    redis.call('DEL', key)
    answer = redis.call(command, key, ...)
  end
  return answer
end

-- Takes an attempt out of the set that counts it on a target of its route. A route with one target and no condition
-- counts nobody.
local function leave_place(prefix, route, target, id)
  if route and route ~= '' and target then
    shared('ZREM', prefix .. PLACE .. route .. '>' .. target, id)
  end
end

-- Returns whether a state is among states, given as ",a,b,".
local function is_among(state, states)
  return string.find(states, ',' .. state .. ',', 1, true) ~= nil
end

-- Returns the server's time in milliseconds.
local function server_time()
  local clock = redis.call('TIME')
  return tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
end

-- Returns which data Redis holds, and since when it may have fallen back: {epoch, milliseconds or 0}.
--
-- A server has another replication id after each start and each fail-over. Then the last changes may be lost: another
-- epoch begins, and what was submitted before must not start until all have written again what they know.
local function epoch_of(epoch_key, home_key, unsettled_key, proposal, epoch_seconds, settling_seconds)
  local told = redis.pcall('INFO', 'replication')
  local home = type(told) == 'string' and told:match('master_replid:(%x+)') or ''
  local known, known_home = shared('GET', epoch_key), shared('GET', home_key)
  local has_moved = known and home ~= '' and known_home and known_home ~= home
  if has_moved then
    redis.call('SET', unsettled_key, string.format('%d', server_time()), 'EX', settling_seconds)
  end
  if has_moved or not known then
    known = proposal
    redis.call('SET', epoch_key, known, 'EX', epoch_seconds)
  end
  if home ~= '' and known_home ~= home then
    redis.call('SET', home_key, home, 'EX', epoch_seconds)
  end
  return {known, tonumber(shared('GET', unsettled_key) or '0') or 0}
end
