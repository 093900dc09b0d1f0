-- Ends leases: their tasks are done. SESSION REQUEST MEMBER RETURNED BYTES NUMBER... -> 1, a text with 1 or 0 (lease lost)
-- for each. RETURNED: 1 if one of them was returned before. BYTES: of all.
local session, request, member, were_returned, bytes = unpack(ARGV, 1, 5)
local fields = call('HMGET', meta, 'kind', 'bytes', 'short', 'wr', 'wd', 'wm', 'np', session)
if fields[1] ~= 'tasks' then return {-1} end
local answer = recorded(fields[8], request)
if answer then return {1, answer} end
local lease = queue .. 'lease:' .. member
local held, answer = which_held(lease, {unpack(ARGV, 6)})
call('HDEL', meta, '')
if #held > 0 then
  -- A text of another length has a 0 in it.
  if #held < #answer then bytes = bytes_of(held) end
  call('SREM', lease, unpack(held))
  call('HDEL', queue .. 'items', unpack(held))
  if were_returned == '1' then call('HDEL', queue .. 'again', unpack(held)) end
  call('HSET', meta, 'bytes', fields[2] - bytes, session, request .. ' ' .. answer)
  wake_short(fields[3], fields[4])
  wake_finished(fields[5], fields[6], fields[7])
else
  call('HSET', meta, session, request .. ' ' .. answer)
end
return {1, answer}
