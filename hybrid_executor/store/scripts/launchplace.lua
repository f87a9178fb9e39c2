-- Finds an attempt's launch in its cluster's stream. Changes nothing.
--
-- Answers {entries that are handed out before it, agent that has it or ""}; -1 where there is no such launch.
local groups = redis.pcall('XINFO', 'GROUPS', launch_key)
local given = '0-0'
if not groups.err then
  for _, group in ipairs(groups) do
    for i = 1, #group, 2 do
      if group[i] == 'last-delivered-id' then
        given = group[i + 1]
      end
    end
  end
end

local function find(first, most)
  local entries = check(redis.pcall('XRANGE', launch_key, first, most))
  if is_wrong_type(entries) then
    return
  end
  for place, entry in ipairs(entries) do
    local fields = {}
    for i = 1, #entry[2], 2 do
      fields[entry[2][i]] = entry[2][i + 1]
    end
    if fields.attempt == attempt and fields.op == 'launch' then
      return place - 1, entry[1]
    end
  end
end

local ahead = find('(' .. given, '+')
if ahead then
  return {ahead, ''}
end
local _, id = find('-', given)
if not id then
  return {-1, ''}
end
local held = redis.pcall('XPENDING', launch_key, LAUNCH_GROUP, id, id, 1)
return {0, not held.err and held[1] and held[1][2] or ''}
