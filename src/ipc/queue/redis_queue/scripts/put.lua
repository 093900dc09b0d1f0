-- SESSION REQUEST OWN FLAGS COUNT BYTES STRINGS ITEM... -> how many items were put; 0 if there is no room, -3 if no consumer is
-- left
-- OWN: this process, if its own right to get does not count once it would wait. BYTES: of all payloads. STRINGS: names and
-- counts of strings with payloads, which were set in the same transaction with a time to live. In a queue without tasks,
-- the items are in batches.
include 'head'
include 'session'
include 'state'
include 'waiting'
local own, flags, count, length, strings = unpack(ARGV, 3, 7)
local waits, registered = string.byte(flags, 1, 2)
if packed and is_repeated then
  -- The strings were set again; their items may have been removed meanwhile.
  for name in string.gmatch(strings, '(%S+) %d+') do
    call(call('HEXISTS', queue .. 'long', name) == 1 and 'PERSIST' or 'UNLINK', queue .. 'long:' .. name)
  end
  return tonumber(string.sub(record, 13))
end
count, length = tonumber(count), tonumber(length)
local last, put_strings, refusal = #ARGV, strings, nil
if not packed then
  refusal = -1
elseif consumers == 0 then
  refusal = -3
elseif count > capacity - (put - got + back) or length > limit - bytes then
  include 'batches'
  include 'part'
  include 'tasks'
  include 'fitting'
  local is_short
  last, count, length, is_short, put_strings = fitting(8, capacity - (put - got + back), limit - bytes)
  if count == 0 then
    -- It would have to wait. Is anyone left to make room?
    local rights = call('HGET', meta, 'm:' .. own)
    refusal = consumers == (rights and string.find(rights, 'g') and 1 or 0) and -3 or 0
    if refusal == 0 then
      if is_short then short = 1 end
      putting = register(putting, waits, registered)
    end
  end
end
if refusal then
  put_strings = ''
else
  -- First the write that a full memory refuses: nothing has changed then. If strings were set already, it must succeed.
  local write = strings == '' and call or must
  if kind == 'plain' then
    write('RPUSH', queue .. 'items', unpack(ARGV, 8, last))
  else
    local entries = {}
    for i = 1, count do
      entries[2 * i - 1], entries[2 * i] = string.format('%d', put + i - 1), ARGV[7 + i]
    end
    write('HSET', queue .. 'items', unpack(entries))
  end
  put, bytes = put + count, bytes + length
  putting = register(putting, 0, registered)
  if getting > 0 then
    include 'wake'
    getting = wake('more', getting, count)
  end
end
if strings ~= '' then
  for name, count in string.gmatch(put_strings, '(%S+) (%d+)') do
    call('HINCRBY', queue .. 'long', name, count)
    call('PERSIST', queue .. 'long:' .. name)
  end
  -- The strings of which no item was put.
  for name in string.gmatch(strings, '(%S+) %d+') do
    if not string.find(put_strings, name .. ' ', 1, true) then call('UNLINK', queue .. 'long:' .. name) end
  end
end
if packed then must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. (refusal or count)) end
return refusal or count
