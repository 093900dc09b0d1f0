-- Ends leases: their tasks are done. SESSION REQUEST MEMBER RETURNED BYTES STRINGS NUMBER... -> a text with 1 or 0 (lease
-- lost) for each. RETURNED: 1 if one of them was returned before. BYTES: of all. STRINGS: the names of strings with their
-- payloads, and how many are in each.
local were_returned, length, strings = unpack(ARGV, 4, 6)
if kind ~= 'tasks' then return -1 end
if is_repeated then return string.sub(record, 13) end
local held, answer = release(queue .. 'lease:' .. member, {unpack(ARGV, 7)})
if #held > 0 then
  if #held < #answer then
    delete(held)
  else
    bytes = bytes - length
    remove_payloads(strings)
    call('HDEL', queue .. 'items', unpack(held))
    if were_returned == '1' then call('HDEL', queue .. 'again', unpack(held)) end
    wake_putting(0)
  end
  wake_finished()
end
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. answer)
return answer
