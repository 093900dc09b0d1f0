-- SESSION REQUEST WAITS REGISTERED OWN ID COUNT
-- -> how many were taken, their numbers as a text, their payloads, how often each was returned as a text;
-- 0 if there is none, -2 if the process is not a member any more, -3 if no producer is left
local session, request, waits, registered, own, id, count = unpack(ARGV)
local fields = call('HMGET', meta, 'v', 'kind', 'wm', 'wr', 'sp')
if not fields[1] then return {-1} end
local is_plain = fields[2] == 'plain'
local answer, before = recorded(session, request)
if answer then
  local numbers = words(answer)
  id = numbers[2]
  numbers = {unpack(numbers, is_plain and 4 or 3)}
  local held, payloads, returned = {}, {}, {}
  for _, number in ipairs(numbers) do
    -- Not those that the process has lost meanwhile.
    if call('SISMEMBER', queue .. 'lease:' .. id, number) == 1 then
      held[#held + 1] = number
      payloads[#payloads + 1] = call('HGET', queue .. 'items', number)
      returned[#returned + 1] = call('HGET', queue .. 'again', number) or '0'
    end
  end
  if #held == 0 then return {0} end
  return {#held, table.concat(held, ' '), payloads, table.concat(returned, ' '), id}
end
local expires = call('ZSCORE', queue .. 'live', id)
if not expires or tonumber(expires) <= 0 then return {-2} end
count = tonumber(count)
local numbers = call('LPOP', queue .. 'back', count) or {}
local were_returned = #numbers
if were_returned < count then
  local fresh = call('LPOP', queue .. 'wait', count - were_returned)
  if fresh and were_returned == 0 then
    numbers = fresh
  elseif fresh then
    for _, number in ipairs(fresh) do numbers[#numbers + 1] = number end
  end
end
if #numbers == 0 then
  if settle(before) then record(session, request, 'p0') end
  local producers = call('SCARD', queue .. 'puts')
  if own ~= '' then producers = producers - call('SISMEMBER', queue .. 'puts', own) end
  local is_over = producers == 0 and fields[5]
  if is_over and not is_plain then
    -- What others hold may come back.
    local unfinished = call('HLEN', queue .. 'items') - call('LLEN', queue .. 'dead')
    is_over = unfinished == call('SCARD', queue .. 'lease:' .. id)
  end
  if is_over then waits = '0' end
  if waits ~= registered then call('HINCRBY', meta, 'wm', waits == '1' and 1 or -1) end
  return {is_over and -3 or 0}
end
call('SADD', queue .. 'lease:' .. id, unpack(numbers))
local payloads = call('HMGET', queue .. 'items', unpack(numbers))
local text = table.concat(numbers, ' ')
local returned = ''
if is_plain then
  local bytes = 0
  for _, payload in ipairs(payloads) do bytes = bytes + #payload end
  settle(before)
  record(session, request, 'p ' .. id .. ' ' .. bytes .. ' ' .. text)
else
  settle(before)
  record(session, request, 't ' .. id .. ' ' .. text)
  if were_returned > 0 then
    local counts = call('HMGET', queue .. 'again', unpack(numbers, 1, were_returned))
    for i = 1, were_returned do counts[i] = counts[i] or '0' end
    returned = table.concat(counts, ' ')
  end
end
if registered == '1' and (tonumber(fields[3]) or 0) > 0 then call('HINCRBY', meta, 'wm', -1) end
wake('room', 'wr', fields[4], #numbers)
return {#numbers, text, payloads, returned, id}
