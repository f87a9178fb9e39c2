-- Drops old entries of the events stream and remembers up to where, so that a reader can tell what it missed.
--
-- Answers the number of dropped entries.
local length = shared('XLEN', events_key)
if length <= keep_entries then
  return 0
end
local oldest = server_time() - keep_milliseconds
local excess = length - keep_entries
local dropped = 0
while dropped < excess do
  local entries = redis.call('XRANGE', events_key, '-', '+', 'COUNT', math.min(500, excess - dropped))
  local ids, last = {}, nil
  for _, entry in ipairs(entries) do
    if tonumber(entry[1]:match('^%d+')) >= oldest then
      break
    end
    ids[#ids + 1] = entry[1]
    last = entry[1]
  end
  if not last then
    break
  end
  redis.call('XDEL', events_key, unpack(ids))
  redis.call('SET', trimmed_key, last, 'EX', 604800)
  dropped = dropped + #ids
end
return dropped
