-- Drops old entries of the events stream and remembers up to where, so that a reader can tell what it missed.
--
-- KEYS[1] events stream   KEYS[2] trimmed mark
-- ARGV[1] entries to keep whatever their age   ARGV[2] age in milliseconds
--
-- Answers the number of dropped entries.
local length = shared('XLEN', KEYS[1])
if length <= tonumber(ARGV[1]) then
  return 0
end
local clock = redis.call('TIME')
local oldest = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) - tonumber(ARGV[2])
local excess = length - tonumber(ARGV[1])
local dropped = 0
while dropped < excess do
  local entries = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', math.min(500, excess - dropped))
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
  redis.call('XDEL', KEYS[1], unpack(ids))
  redis.call('SET', KEYS[2], last, 'EX', 604800)
  dropped = dropped + #ids
end
return dropped
