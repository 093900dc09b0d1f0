-- Gets items of a queue without tasks. SESSION REQUEST MEMBER WAITS REGISTERED OWN COUNT -> payloads; 0 if there is none,
-- -2 if the process is not a member any more, -3 if no producer is left
-- OWN: 1 if the process's own right to put does not count.
local waits, registered, own, count = unpack(ARGV, 4, 7)
if kind ~= 'plain' then return -1 end
local since, from, to = taken(record)
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
    settle(since, to)
    must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. '0')
  elseif waits ~= registered then
    must('HSET', meta, 'state', struct.pack(format, STATE))
  end
  return is_over and -3 or 0
end
local payloads, length = read(got, last), 0
for i = 1, #payloads do length = length + #payloads[i] end
-- Small items that follow each other are removed together.
if not (since and to == got and to - since < 64 and length < 4096) then
  if since then settle(since, to) end
  since = got
end
record = request .. 'p' .. struct.pack('<ddd', since, got, last) .. member
getting = register(getting, '0', registered)
wake_putting(last - got)
got, bytes = last, bytes - length
must('HSET', meta, 'state', struct.pack(format, STATE), session, record)
return payloads
