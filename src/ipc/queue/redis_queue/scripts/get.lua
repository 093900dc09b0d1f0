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
  local held, _, from, to = taken(answer)
  -- Unless the process was declared dead meanwhile.
  if not held then return {0} end
  return {to - from, from, call('LRANGE', queue .. 'items', from - first, to - first - 1)}
end
if not fields[10] then return {-2} end
local from = tonumber(fields[3])
local to = math.min(tonumber(fields[2]), from + count)
local payloads, bytes = {}, 0
if to > from then
  payloads = call('LRANGE', queue .. 'items', from - first, to - first - 1)
  for i = 1, #payloads do bytes = bytes + #payloads[i] end
  answer = ' p ' .. member .. ' ' .. bytes .. ' ' .. from .. ' ' .. to
elseif taken(before) then
  answer = ' 0'
end
local freed
first, freed = settle(before, first, from)
if answer then
  call('HSET', meta, 'got', to, 'first', first, 'bytes', fields[5] - freed, session, request .. answer)
end
if freed > 0 and fields[6] then
  wake_short(fields[6], fields[8])
else
  wake('room', 'wr', fields[8], to - from)
end
if to > from then
  if registered == '1' and (tonumber(fields[7]) or 0) > 0 then call('HINCRBY', meta, 'wm', -1) end
  return {to - from, from, payloads}
end
local producers = tonumber(fields[9])
if own ~= '' and string.find(call('HGET', meta, 'm:' .. own) or '', 'p') then producers = producers - 1 end
local is_over = producers == 0
if is_over then waits = '0' end
if waits ~= registered then call('HINCRBY', meta, 'wm', waits == '1' and 1 or -1) end
return {is_over and -3 or 0}
