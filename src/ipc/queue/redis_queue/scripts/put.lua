-- SESSION REQUEST OWN WAITS REGISTERED COUNT BYTES STRINGS ITEM... -> how many items were put; 0 if there is no room, -3 if
-- no consumer is left
-- OWN: this process, if its own right to get does not count once it would wait. BYTES: of all payloads. STRINGS: names and
-- counts of strings with payloads, which were set in the same transaction with a time to live. In a queue without tasks,
-- the items are in batches.
local waits, registered, count, length, strings = unpack(ARGV, 4, 8)

-- Removes the strings that none of the items which were put is in.
local function unlink(put_strings)
  for name in string.gmatch(strings, '(%S+) %d+') do
    if not string.find(put_strings, name .. ' ', 1, true) then call('UNLINK', queue .. 'long:' .. name) end
  end
end

-- Answers that nothing was put.
local function refuse(answer)
  unlink('')
  if packed then must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. answer) end
  return answer
end

if not packed then return refuse(-1) end
if is_repeated then
  -- What was set again, and may have been removed meanwhile.
  for name in string.gmatch(strings, '(%S+) %d+') do
    call(call('HEXISTS', queue .. 'long', name) == 1 and 'PERSIST' or 'UNLINK', queue .. 'long:' .. name)
  end
  return tonumber(string.sub(record, 13))
end
if consumers == 0 then return refuse(-3) end
count, length = tonumber(count), tonumber(length)
local last, put_strings, is_short = #ARGV, strings, false
local room, free = capacity - (put - got + back), limit - bytes
if count > room or length > free then
  last, count, length, is_short, put_strings = fitting(9, room, free)
end
if count == 0 then
  -- It would wait: for whom?
  if consumers == (rights and string.find(rights, 'g') and 1 or 0) then return refuse(-3) end
  if is_short then short = 1 end
  putting = register(putting, waits, registered)
  return refuse(0)
end
-- First what a full memory refuses: that has accepted payloads that were set already.
local write = strings == '' and call or must
if kind == 'plain' then
  write('RPUSH', queue .. 'items', unpack(ARGV, 9, last))
else
  local entries = {}
  for i = 1, count do
    entries[2 * i - 1], entries[2 * i] = string.format('%d', put + i - 1), ARGV[8 + i]
  end
  write('HSET', queue .. 'items', unpack(entries))
end
if strings ~= '' then
  for name, count in string.gmatch(put_strings, '(%S+) (%d+)') do
    call('HINCRBY', queue .. 'long', name, count)
    call('PERSIST', queue .. 'long:' .. name)
  end
  unlink(put_strings)
end
put, bytes = put + count, bytes + length
putting = register(putting, '0', registered)
getting = wake('more', getting, count)
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. count)
return count
