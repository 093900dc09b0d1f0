-- SESSION REQUEST OWN WAITS REGISTERED BYTES LONG ITEM... -> how many were put; 0 if there is no room, -3 if no consumer is
-- left
-- OWN: this process, if its own right to get does not count once it would wait. BYTES: of all payloads. LONG: 1 if the
-- payloads were set in the hash `long`, in the same transaction. The items are payloads; in a queue without tasks with one
-- byte more, see arrival.lua.
local waits, registered, length, is_long = unpack(ARGV, 4, 7)
is_long = is_long == '1'

-- Deletes the payloads of the items behind the first `count` from the hash.
local function refuse(count)
  if is_long and count < #ARGV - 7 then call('HDEL', queue .. 'long', unpack(ARGV, 8 + count)) end
end

if not packed then
  refuse(0)
  return -1
end
if is_repeated then
  local count, at = string.match(record, '^(%d+) ?(%d*)', 13)
  refuse(tonumber(count))
  -- Those that were removed meanwhile were set again. They may be late, if any are.
  local removed = is_long and call('EXISTS', queue .. 'late') == 0 and math.min(count, first - at) or 0
  for i = 1, removed do call('HDEL', queue .. 'long', ARGV[7 + i]) end
  return tonumber(count)
end
if consumers == 0 then
  refuse(0)
  return -3
end
local count, room, is_short = #ARGV - 7, capacity - (put - got + back), false
length = tonumber(length)
if count > room or bytes + length > limit then
  -- The first ones for which there is room.
  local most = math.min(count, room)
  count, length = 0, 0
  while count < most and not is_short do
    local item = ARGV[8 + count]
    local longer = length + (is_long and struct.unpack('<I4', item) or kind == 'plain' and #item - 1 or #item)
    is_short = bytes + longer > limit
    if not is_short then count, length = count + 1, longer end
  end
end
refuse(count)
if count == 0 then
  -- It would wait: for whom?
  if consumers == (rights and string.find(rights, 'g') and 1 or 0) then return -3 end
  if is_short then short = 1 end
  putting = register(putting, waits, registered)
  if is_short or waits ~= registered then must('HSET', meta, 'state', struct.pack(format, STATE)) end
  return 0
end
-- First what a full memory refuses: that has accepted long payloads already.
if kind == 'plain' then
  (is_long and must or call)('RPUSH', queue .. 'items', unpack(ARGV, 8, 7 + count))
else
  local entries = {}
  for i = 1, count do
    entries[2 * i - 1], entries[2 * i] = string.format('%d', put + i - 1), ARGV[7 + i]
  end
  call('HSET', queue .. 'items', unpack(entries))
end
local answer = is_long and string.format('%d %d', count, put) or count
put, bytes = put + count, bytes + length
putting = register(putting, '0', registered)
getting = wake('more', getting, count)
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. answer)
return count
