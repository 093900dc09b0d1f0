-- Clients that wait: a field of meta counts those that wait for the same, and each takes a token from a list.

-- Registers the caller, or ends its registration.
local function register(field, waits, registered)
  if waits ~= registered then call('HINCRBY', meta, field, waits == '1' and 1 or -1) end
end

-- Ends the registration of a caller that was served without a token. Returns how many are `waiting` then.
local function served(field, registered, waiting)
  if registered == '1' and (tonumber(waiting) or 0) > 0 then return call('HINCRBY', meta, field, -1) end
  return waiting
end

-- Returns how many of `count` processes with a right are others than `own`; nothing if none has come yet.
local function others(count, own, right)
  if count and own ~= '' and string.find(call('HGET', meta, 'm:' .. own) or '', right) then return count - 1 end
  return tonumber(count)
end
