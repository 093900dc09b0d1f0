-- SESSION REQUEST WAITS REGISTERED OWN BYTES PAYLOAD... -> how many were put; 0 if there is no room, -3 if no consumer is left
-- OWN: this process, if its own right to get does not count once it would wait. BYTES: of all payloads.
local session, request, waits, registered, own = unpack(ARGV, 1, 5)
local fields = call('HMGET', meta, 'kind', 'cap', 'limit', 'put', 'got', 'first', 'bytes', 'short', 'wm', 'wr', 'ng', session)
if not fields[1] then return {-1} end
local answer, before = recorded(fields[12], request)
if answer then return {tonumber(answer)} end
local consumers = fields[11]
if consumers == '0' then return {-3} end
local is_plain = fields[1] == 'plain'
local capacity, limit, put = tonumber(fields[2]), tonumber(fields[3]), tonumber(fields[4])
local first, bytes = tonumber(fields[6]), tonumber(fields[7])
local count, length = #ARGV - 6, tonumber(ARGV[6])
local room = count
if capacity > 0 then
  room = capacity - put + fields[5]
  if not is_plain then room = room - call('LLEN', queue .. 'back') end
end
local is_short = false
if count > room or bytes + length > limit then
  -- The first ones for which there is room.
  local most = math.min(count, room)
  count, length = 0, 0
  while count < most and not is_short do
    local longer = length + #ARGV[7 + count]
    is_short = bytes + longer > limit
    if not is_short then count, length = count + 1, longer end
  end
end
if count == 0 then
  -- It would wait: for whom?
  if own ~= '' and consumers == '1' and string.find(call('HGET', meta, 'm:' .. own) or '', 'g') then return {-3} end
  if taken(before) then
    local freed
    first, freed = settle(before, first, tonumber(fields[5]))
    call('HSET', meta, 'first', first, 'bytes', bytes - freed, session, request .. ' 0')
    wake_short(fields[8], fields[10])
  end
  if is_short then call('HSET', meta, 'short', 1) end
  if waits ~= registered then call('HINCRBY', meta, 'wr', waits == '1' and 1 or -1) end
  return {0}
end
-- First what a full memory refuses.
if is_plain then
  call('RPUSH', queue .. 'items', unpack(ARGV, 7, 6 + count))
else
  local entries = {}
  for i = 1, count do
    entries[2 * i - 1], entries[2 * i] = string.format('%d', put + i - 1), ARGV[6 + i]
  end
  call('HSET', queue .. 'items', unpack(entries))
end
local freed = 0
if taken(before) then first, freed = settle(before, first, tonumber(fields[5])) end
call('HSET', meta, 'put', put + count, 'first', first, 'bytes', bytes + length - freed, session, request .. ' ' .. count)
if registered == '1' and (tonumber(fields[10]) or 0) > 0 then
  fields[10] = call('HINCRBY', meta, 'wr', -1)
end
if freed > 0 then wake_short(fields[8], fields[10]) end
wake('more', 'wm', fields[9], count)
return {count}
