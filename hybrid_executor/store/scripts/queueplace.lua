-- Finds an attempt's message in a part of a broker list, from the message that is handed out next. Changes nothing, and
-- no message leaves the server: they hold tokens.
--
-- Answers {messages of this part that come before it, how many the part has}; -1 where it is not in this part.
local part = check(redis.pcall('LRANGE', queue_key, -(skip + size), -(skip + 1)))
if is_wrong_type(part) then
  return {-1, 0}
end
for i = #part, 1, -1 do
  if string.find(part[i], attempt, 1, true) then
    return {#part - i, #part}
  end
end
return {-1, #part}
