-- Leases tasks. SESSION REQUEST MEMBER WAITS REGISTERED OWN COUNT -> how many, their numbers as a text, their payloads, how
-- often each of the first ones was returned as a text (the others were not), the member that holds them; 0 if there is
-- none, -2 if the process is not a member any more, -3 if no producer is left. In place of long payloads there is an empty
-- text: the caller reads them, which is several times as fast as a copy in a script.
-- OWN: 1 if the process's own right to put does not count.
local waits, registered, own, count = unpack(ARGV, 4, 7)
if kind ~= 'tasks' then return -1 end
if is_repeated then
  local holder, numbers = string.match(record, '^(%S+) (.*)$', 13)
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
if not rights then return -2 end
local numbers = back > 0 and call('LPOP', queue .. 'back', count) or {}
local were_returned = #numbers
local fresh = math.min(put - got, count - were_returned)
for i = 1, fresh do numbers[were_returned + i] = string.format('%d', got + i - 1) end
if #numbers == 0 then
  -- What others hold may come back.
  local is_over = producers == (own == '1' and string.find(rights, 'p') and 1 or 0)
    and unfinished() == call('SCARD', queue .. 'lease:' .. member)
  waits = is_over and '0' or waits
  getting = register(getting, waits, registered)
  if waits ~= registered then must('HSET', meta, 'state', struct.pack(format, STATE)) end
  return is_over and -3 or 0
end
must('SADD', queue .. 'lease:' .. member, unpack(numbers))
local text = table.concat(numbers, ' ')
got, back = got + fresh, back - were_returned
getting = register(getting, '0', registered)
putting = wake('room', putting, #numbers)
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. member .. ' ' .. text)
local payloads = ''
if bytes < 32768 or #numbers * call('HSTRLEN', queue .. 'items', numbers[1]) < 32768 then
  payloads = call('HMGET', queue .. 'items', unpack(numbers))
end
local returned = ''
if were_returned > 0 then
  local counts = call('HMGET', queue .. 'again', unpack(numbers, 1, were_returned))
  for i = 1, were_returned do counts[i] = counts[i] or '0' end
  returned = table.concat(counts, ' ')
end
return {#numbers, text, payloads, returned, member}
