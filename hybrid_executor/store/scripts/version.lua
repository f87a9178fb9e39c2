-- Remembers a watch's resource version, unless a newer holder of the watch's lease has taken over.
--
-- Answers 1 where it was written, 0 where the writer has been fenced off.
if fence > 0 and (tonumber(shared('HGET', lease_key, 'fence') or '0') or 0) > fence then
  return 0
end
redis.call('SET', version_key, version, 'EX', kept_seconds)
return 1
