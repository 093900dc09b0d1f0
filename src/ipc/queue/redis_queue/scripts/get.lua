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
  local from, to = taken(answer)
  -- Unless the process was declared dead meanwhile.
  if not from then return {0} end
  return {to - from, from, read(from, to, first)}
end
if not fields[10] then return {-2} end
local from = tonumber(fields[3])
local to = math.min(tonumber(fields[2]), from + count)
local payloads = to > from and read(from, to, first)
local before_from, before_to = taken(before)
if before_from then
  first = settle(before_from, before_to, first, from)
else
  call('HDEL', meta, '')
end
if payloads then
  local bytes = fields[5]
  for i = 1, #payloads do bytes = bytes - #payloads[i] end
  answer = ' p ' .. from .. ' ' .. to .. ' ' .. member
  call('HSET', meta, 'got', to, 'first', first, 'bytes', bytes, session, request .. answer)
  served('wm', registered, fields[7])
  -- One for each place, or all that wait if some of them wait for bytes.
  if fields[6] then wake_short(fields[6], fields[8]) else wake('room', 'wr', fields[8], to - from) end
  return {to - from, from, payloads}
end
if before_from then call('HSET', meta, 'first', first, session, request .. ' 0') end
local is_over = others(fields[9], own, 'p') == 0
register('wm', is_over and '0' or waits, registered)
return {is_over and -3 or 0}
