-- Reads fields of many records, a page at a time. Changes nothing.
--
-- source: "set" for the attempts in a set (source_key), "events" for those of an events stream from the newest entry on,
-- "ids" for the given ones. Cursor and "0" at the end are those of SSCAN, or ids of the stream.
--
-- question: JSON of fields (names), where (pairs of field and value that a record must have), states (only events of
-- these states; all where there are none).
--
-- Answers {next cursor, JSON rows}: id, state and fields, false for a missing field; an id alone where the key holds
-- another type. Attempts without a record are left out.
question = cjson.decode(question)
local attempts, next_cursor = {}, '0'

local function of_events()
  local wanted, seen = {}, {}
  for _, state in ipairs(question.states) do
    wanted[state] = true
  end
  local page = check(redis.pcall('XREVRANGE', source_key, cursor, least, 'COUNT', size))
  if is_wrong_type(page) then
    return
  end
  for _, entry in ipairs(page) do
    local fields = {}
    for i = 1, #entry[2], 2 do
      fields[entry[2][i]] = entry[2][i + 1]
    end
    local attempt = fields.attempt
    if attempt and not seen[attempt] and (#question.states == 0 or wanted[fields.state]) then
      seen[attempt] = true
      attempts[#attempts + 1] = attempt
    end
  end
  if #page == size then
    next_cursor = '(' .. page[#page][1]
  end
end

if source == 'set' then
  local page = check(redis.pcall('SSCAN', source_key, cursor, 'COUNT', size))
  if not is_wrong_type(page) then
    next_cursor, attempts = page[1], page[2]
  end
elseif source == 'events' then
  of_events()
else
  for i = attempts_at, #ARGV do
    attempts[#attempts + 1] = ARGV[i]
  end
end

-- Returns whether a record has the wanted values. They are compared one by one: most records differ in the first.
local function is_wanted(attempt_key)
  for _, pair in ipairs(question.where) do
    local value = redis.pcall('HGET', attempt_key, pair[1])
    if type(value) ~= 'string' or value ~= pair[2] then
      return false
    end
  end
  return true
end

local rows = {}
for _, attempt in ipairs(attempts) do
  local attempt_key = prefix .. ATTEMPT .. attempt
  if is_wanted(attempt_key) then
    local known = check(redis.pcall('HMGET', attempt_key, 'state', unpack(question.fields)))
    if is_wrong_type(known) then
      rows[#rows + 1] = {attempt}
    elseif known[1] then
      rows[#rows + 1] = {attempt, unpack(known)}
    end
  end
end
return {next_cursor, cjson.encode(rows)}
