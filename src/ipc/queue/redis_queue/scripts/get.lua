-- Gets items of a queue without tasks. SESSION REQUEST WAITS REGISTERED OWN MEMBER COUNT -> how many, the number of the first,
-- their payloads; 0 if there is none, -2 if the process is not a member any more, -3 if no producer is left
-- OWN: this process, if its own right to put does not count.
local session, request, waits, registered, own, member, count = unpack(ARGV)
local fields =
  call('HMGET', meta, 'kind', 'put', 'got', 'first', 'bytes', 'short', 'wm', 'wr', 'np', 'm:' .. member, session)
if fields[1] ~= 'plain' then return {-1} end
local answer, before = recorded(fields[11], request)
local first = tonumber(fields[4])
if answer then
  local _, from, to = taken(answer)
  -- Unless the process was declared dead meanwhile.
  if not from then return {0} end
  return {to - from, from, read(from, to, first)}
end
if not fields[10] then return {-2} end
local from = tonumber(fields[3])
local to = math.min(tonumber(fields[2]), from + count)
local since, _, last = taken(before)
call('HDEL', meta, '')
if to > from then
  local payloads, length = read(from, to, first), 0
  for i = 1, #payloads do length = length + #payloads[i] end
  -- Small items that follow each other are removed together.
  if not (since and last == from and last - since < 64 and length < 4096) then
    if since then call('HSET', meta, 'first', settle(since, last, first, from)) end
    since = from
  end
  local record = request .. ' ' .. took(since, from, to, member)
  call('HSET', meta, 'got', int(to), 'bytes', int(fields[5] - length), session, record)
  served('wm', registered, fields[7])
  -- One for each place, or all that wait if some of them wait for bytes.
  if fields[6] then wake_short(fields[6], fields[8]) else wake('room', 'wr', fields[8], to - from) end
  return {to - from, from, payloads}
end
if since then call('HSET', meta, 'first', settle(since, last, first, from), session, request .. ' 0') end
local is_over = others(fields[9], own, 'p') == 0
register('wm', is_over and '0' or waits, registered)
return {is_over and -3 or 0}
