-- SESSION REQUEST WAITS REGISTERED OWN PAYLOAD... -> how many were put; 0 if there is no room, -3 if no consumer is left
-- OWN: this process, if its own right to get does not count once it would wait.
local session, request, waits, registered, own = unpack(ARGV, 1, 5)
local fields = call('HMGET', meta, 'v', 'cap', 'limit', 'bytes', 'put', 'wm', 'wr', 'sg')
if not fields[1] then return {-1} end
local answer, before = recorded(session, request)
if answer then return {tonumber(answer) or 0} end
local consumers = call('SCARD', queue .. 'gets')
if fields[8] and consumers == 0 then return {-3} end
local capacity, limit, bytes, put = tonumber(fields[2]), tonumber(fields[3]), tonumber(fields[4]), tonumber(fields[5])
local count = #ARGV - 5
if capacity > 0 then
  count = math.min(count, capacity - call('LLEN', queue .. 'wait') - call('LLEN', queue .. 'back'))
end
local items, numbers = {}, {}
for i = 1, count do
  local payload = ARGV[5 + i]
  bytes = bytes + #payload
  if limit > 0 and bytes > limit then
    bytes = bytes - #payload
    break
  end
  numbers[i] = put
  items[2 * i - 1], items[2 * i] = put, payload
  put = put + 1
end
count = #numbers
if count == 0 then
  -- It would wait: for whom?
  if own ~= '' and consumers == call('SISMEMBER', queue .. 'gets', own) then return {-3} end
  -- This counts what a plain get of the session took, as its answer has arrived.
  if settle(before) then record(session, request, 'p0') end
  if waits ~= registered then call('HINCRBY', meta, 'wr', waits == '1' and 1 or -1) end
  return {0}
end
-- First what a full memory refuses.
call('HSET', queue .. 'items', unpack(items))
call('RPUSH', queue .. 'wait', unpack(numbers))
call('HSET', meta, 'put', put, 'bytes', bytes)
record(session, request, count)
settle(before)
if registered == '1' and (tonumber(fields[7]) or 0) > 0 then call('HINCRBY', meta, 'wr', -1) end
wake('more', 'wm', fields[6], count)
return {count}
