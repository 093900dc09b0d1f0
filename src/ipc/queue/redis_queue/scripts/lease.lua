-- Leases tasks. SESSION REQUEST WAITS REGISTERED OWN MEMBER COUNT -> how many, their numbers as a text, their payloads, how
-- often each of the first ones was returned as a text (the others were not), the member that holds them; 0 if there is
-- none, -2 if the process is not a member any more, -3 if no producer is left
-- OWN: this process, if its own right to put does not count.
local session, request, waits, registered, own, member, count = unpack(ARGV)
local fields = call('HMGET', meta, 'kind', 'put', 'got', 'wm', 'wr', 'np', 'm:' .. member, session)
if fields[1] ~= 'tasks' then return {-1} end
local answer = recorded(fields[8], request)
if answer then
  local holder, numbers = string.match(answer, '^(%S+) (.*)$')
  local held, payloads, returned = {}, {}, {}
  for number in string.gmatch(numbers, '%S+') do
    -- Not those that the process has lost meanwhile.
    if call('SISMEMBER', queue .. 'lease:' .. holder, number) == 1 then
      held[#held + 1] = number
      payloads[#payloads + 1] = call('HGET', queue .. 'items', number)
      returned[#returned + 1] = call('HGET', queue .. 'again', number) or '0'
    end
  end
  return {#held, table.concat(held, ' '), payloads, table.concat(returned, ' '), holder}
end
if not fields[7] then return {-2} end
count = tonumber(count)
local numbers = call('LPOP', queue .. 'back', count) or {}
local were_returned = #numbers
local got = tonumber(fields[3])
local fresh = math.min(fields[2] - got, count - were_returned)
for i = 1, fresh do numbers[were_returned + i] = string.format('%d', got + i - 1) end
if #numbers == 0 then
  local producers = tonumber(fields[6])
  if own ~= '' and string.find(call('HGET', meta, 'm:' .. own) or '', 'p') then producers = producers - 1 end
  -- What others hold may come back.
  local is_over = producers == 0 and unfinished() == call('SCARD', queue .. 'lease:' .. member)
  if is_over then waits = '0' end
  if waits ~= registered then call('HINCRBY', meta, 'wm', waits == '1' and 1 or -1) end
  return {is_over and -3 or 0}
end
call('SADD', queue .. 'lease:' .. member, unpack(numbers))
local text = table.concat(numbers, ' ')
call('HSET', meta, 'got', got + fresh, session, request .. ' ' .. member .. ' ' .. text)
local payloads = call('HMGET', queue .. 'items', unpack(numbers))
local returned = ''
if were_returned > 0 then
  local counts = call('HMGET', queue .. 'again', unpack(numbers, 1, were_returned))
  for i = 1, were_returned do counts[i] = counts[i] or '0' end
  returned = table.concat(counts, ' ')
end
if registered == '1' and (tonumber(fields[4]) or 0) > 0 then call('HINCRBY', meta, 'wm', -1) end
wake('room', 'wr', fields[5], #numbers)
return {#numbers, text, payloads, returned, member}
