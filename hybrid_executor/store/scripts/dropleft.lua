-- Takes messages off a part of a broker list for which no worker could start anything: their attempt has ended, is not for
-- workers any more, or was submitted again with a later message. A message without a record stays.
--
-- Answers {messages that were taken off, how many are to be skipped next time or -1 after the last part}.
local part = check(redis.pcall('LRANGE', queue_key, -(skip + size), -(skip + 1)))
if is_wrong_type(part) then
  return {0, -1}
end
local dropped = 0
for i = #part, 1, -1 do
  local is_read, message = pcall(cjson.decode, part[i])
  local headers = is_read and type(message) == 'table' and message.headers
  if type(headers) == 'table' and type(headers.id) == 'string' then
    local known = check(redis.pcall('HMGET', prefix .. ATTEMPT .. headers.id, 'state', 'pool', 'generation'))
    local sent = type(headers.hybrid) == 'table' and tonumber(headers.hybrid.generation)
    if not is_wrong_type(known) and known[1] and (is_among(known[1], terminal) or (known[2] and known[2] ~= pool)
        or (sent and sent < (tonumber(known[3] or '0') or 0))) then
      dropped = dropped + redis.call('LREM', queue_key, -1, part[i])
    end
  end
end
return {dropped, #part == size and skip + size - dropped or -1}
