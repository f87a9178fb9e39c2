-- Returns which data Redis holds, and notes a server that is another one than before.
--
-- Answers {epoch, milliseconds}: what was submitted before that time is not to start yet, 0 where nothing waits.
local answer = epoch_of(epoch_key, home_key, unsettled_key, proposal, epoch_seconds, settling_seconds)
redis.call('EXPIRE', epoch_key, epoch_seconds)
redis.call('EXPIRE', home_key, epoch_seconds)
return answer
