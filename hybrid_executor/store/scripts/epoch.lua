-- Tells which data Redis holds, and notes a server that is another one than before.
--
-- KEYS[1] epoch   KEYS[2] the server's replication id   KEYS[3] mark of what has not settled yet
-- ARGV[1] key prefix   ARGV[2] name of an epoch, where one has to begin   ARGV[3] seconds that it is kept
-- ARGV[4] seconds that it takes until everybody has told what they know
--
-- Answers {epoch, milliseconds}: what was submitted before that time is not to start yet, 0 where nothing waits.
local answer = epoch_of(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return answer
