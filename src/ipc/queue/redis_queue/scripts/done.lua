-- Ends leases: their tasks are done. SESSION REQUEST MEMBER RETURNED BYTES NUMBER... -> a text with 1 or 0 (lease lost) for
-- each. RETURNED: 1 if one of them was returned before. BYTES: of all.
local were_returned, length = ARGV[4], ARGV[5]
if kind ~= 'tasks' then return -1 end
if is_repeated then return string.sub(record, 13) end
local held, answer = release(queue .. 'lease:' .. member, {unpack(ARGV, 6)})
if #held > 0 then
  if #held < #answer then length = bytes_of(held) end
  bytes = bytes - length
  call('HDEL', queue .. 'items', unpack(held))
  if were_returned == '1' then call('HDEL', queue .. 'again', unpack(held)) end
  wake_putting(0)
  wake_finished()
end
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. answer)
return answer
