-- Leases tasks. SESSION REQUEST MEMBER FLAGS COUNT -> how many, their numbers as a text, the items, how often each of the first
-- ones was returned as a text (the others were not), the member that holds them; 0 if there is none, -2 if the process is no
-- longer a member, -3 if no producer is left
include 'head'
include 'session'
include 'state'
include 'waiting'
local member, count = ARGV[3], tonumber(ARGV[5])
local waits, registered, own = string.byte(ARGV[4], 1, 3)
if kind ~= 'tasks' then return -1 end
if is_repeated then
  local holder, numbers = string.match(record, '^(%S+) (.*)$', 13)
  if not holder then return tonumber(string.sub(record, 13)) end
  local held, items, returned = {}, {}, {}
  for number in string.gmatch(numbers, '%S+') do
    -- Not those that the process has lost meanwhile.
    if call('SISMEMBER', queue .. 'lease:' .. holder, number) == 1 then
      held[#held + 1] = number
      items[#items + 1] = call('HGET', queue .. 'items', number)
      returned[#returned + 1] = call('HGET', queue .. 'again', number) or '0'
    end
  end
  return {#held, table.concat(held, ' '), items, table.concat(returned, ' '), holder}
end
local rights = call('HGET', meta, 'm:' .. member)
if not rights then return -2 end
local numbers = back > 0 and call('LPOP', queue .. 'back', count) or {}
local were_returned = #numbers
local fresh = math.min(put - got, count - were_returned)
for i = 1, fresh do numbers[were_returned + i] = string.format('%d', got + i - 1) end
if #numbers == 0 then
  -- What others hold may come back.
  include 'unfinished'
  local is_over = producers == (own == 1 and string.find(rights, 'p') and 1 or 0)
    and unfinished() == call('SCARD', queue .. 'lease:' .. member)
  include 'nothing'
end
must('SADD', queue .. 'lease:' .. member, unpack(numbers))
local text = table.concat(numbers, ' ')
got, back = got + fresh, back - were_returned
getting = register(getting, 0, registered)
if putting > 0 then
  include 'wake'
  putting = wake('room', putting, #numbers)
end
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. member .. ' ' .. text)
local items = call('HMGET', queue .. 'items', unpack(numbers))
local returned = ''
if were_returned > 0 then
  local counts = call('HMGET', queue .. 'again', unpack(numbers, 1, were_returned))
  for i = 1, were_returned do counts[i] = counts[i] or '0' end
  returned = table.concat(counts, ' ')
end
return {#numbers, text, items, returned, member}
