-- Takes an announcement back, unless somebody else has made it since.
--
-- Answers 1, or 0 where the announcement is another one's.
local known_life = redis.call('HGET', member_key, 'life')
if life ~= '' and known_life and known_life ~= life then
  return 0
end
redis.call('DEL', member_key)
redis.call('ZREM', members_key, name)
return 1
