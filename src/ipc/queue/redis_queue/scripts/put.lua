-- SESSION REQUEST OWN WAITS REGISTERED BYTES PAYLOAD... -> how many were put; 0 if there is no room, -3 if no consumer is left
-- OWN: this process, if its own right to get does not count once it would wait. BYTES: of all payloads.
if not packed then return -1 end
if is_repeated then return tonumber(string.sub(record, 13)) end
local waits, registered, length = unpack(ARGV, 4, 6)
if consumers == 0 then return -3 end
local count, room, is_short = #ARGV - 6, capacity - (put - got + back), false
length = tonumber(length)
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
  if consumers == (rights and string.find(rights, 'g') and 1 or 0) then return -3 end
  if is_short then short = 1 end
  putting = register(putting, waits, registered)
  if is_short or waits ~= registered then must('HSET', meta, 'state', struct.pack(format, STATE)) end
  return 0
end
-- First what a full memory refuses.
if kind == 'plain' then
  call('RPUSH', queue .. 'items', unpack(ARGV, 7, 6 + count))
else
  local entries = {}
  for i = 1, count do
    entries[2 * i - 1], entries[2 * i] = string.format('%d', put + i - 1), ARGV[6 + i]
  end
  call('HSET', queue .. 'items', unpack(entries))
end
put, bytes = put + count, bytes + length
putting = register(putting, '0', registered)
getting = wake('more', getting, count)
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. count)
return count
