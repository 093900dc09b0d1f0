-- Gets items of a queue without tasks. SESSION REQUEST MEMBER WAITS REGISTERED OWN COUNT -> items; 0 if there is none,
-- -2 if the process is not a member any more, -3 if no producer is left
-- OWN: 1 if the process's own right to put does not count.
local waits, registered, own, count = unpack(ARGV, 4, 7)
if kind ~= 'plain' then return -1 end
local since, from, to, has_long = taken(record)
if is_repeated then
  -- Unless the process was declared dead meanwhile.
  return from and read(from, to) or 0
end
if not rights then return -2 end
local last = math.min(put, got + count)
if last == got then
  local is_over = producers == (own == '1' and string.find(rights, 'p') and 1 or 0)
  waits = is_over and '0' or waits
  getting = register(getting, waits, registered)
  if since then
    settle(since, to, has_long)
    must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. '0')
  elseif waits ~= registered then
    must('HSET', meta, 'state', struct.pack(format, STATE))
  end
  return is_over and -3 or 0
end
local items, length, is_long = read(got, last), 0, false
local byte, number = string.byte, struct.unpack
for i = 1, #items do
  local item = items[i]
  if byte(item, -1) == 0 then
    length = length + #item - 1
  else
    length, is_long = length + number('<I4', item), true
  end
end
-- Small items that follow each other are removed together.
if not (since and to == got and to - since < 64 and length < 4096) then
  if since then settle(since, to, has_long) end
  since, has_long = got, false
end
record = request .. ((has_long or is_long) and 'l' or 'p') .. struct.pack('<ddd', since, got, last) .. member
getting = register(getting, '0', registered)
wake_putting(last - got)
got, bytes = last, bytes - length
must('HSET', meta, 'state', struct.pack(format, STATE), session, record)
return items
