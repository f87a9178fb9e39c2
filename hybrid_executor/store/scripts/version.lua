-- Remembers a watch's resource version, unless a newer holder of the watch's lease has taken over.
--
-- KEYS[1] version   KEYS[2] lease
-- ARGV[1] resource version   ARGV[2] fencing number, 0 for none   ARGV[3] seconds that it is kept
--
-- Answers 1 where it was written, 0 where the writer has been fenced off.
if tonumber(ARGV[2]) > 0 and (tonumber(shared('HGET', KEYS[2], 'fence') or '0') or 0) > tonumber(ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
return 1
