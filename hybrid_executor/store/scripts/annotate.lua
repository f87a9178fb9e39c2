-- Writes fields of a live record that are no change of state. An ended or missing record stays as it is.
--
-- "noted_at" is since when the note stands: since its category, or its text where it has no category, last changed.
--
-- Answers 1 where it was written.
local known = check(redis.pcall('HMGET', attempt_key, 'state', 'ended_at', 'note', 'category'))
if is_wrong_type(known) or not known[1] or known[2] then
  return 0
end
local note, category
for i = fields_at, #ARGV, 2 do
  if ARGV[i] == 'note' then
    note = ARGV[i + 1]
  elseif ARGV[i] == 'category' then
    category = ARGV[i + 1]
  end
end
if note and ((known[3] or '') == '' or (category and category ~= known[4]) or (not category and note ~= known[3])) then
  redis.call('HSET', attempt_key, 'noted_at', string.format('%d', server_time()))
end
redis.call('HSET', attempt_key, unpack(ARGV, fields_at))
return 1
