-- Ends leases: their tasks are done. SESSION REQUEST MEMBER RETURNED BYTES STRINGS NUMBER... -> a text with 1 or 0 (lease
-- lost) for each. RETURNED: 1 if one of them was returned before. BYTES: the length of all payloads. STRINGS: the names of
-- strings with their payloads, and how many are in each.
include 'head'
include 'session'
include 'state'
include 'release'
local member, were_returned, length, strings = unpack(ARGV, 3, 6)
if kind ~= 'tasks' then return -1 end
if is_repeated then return string.sub(record, 13) end
local held, answer = release(queue .. 'lease:' .. member, {unpack(ARGV, 7)})
if #held == #answer then
  bytes = bytes - length
  if strings ~= '' then
    include 'payloads'
    remove_payloads(strings)
  end
  call('HDEL', queue .. 'items', unpack(held))
  if were_returned == '1' then call('HDEL', queue .. 'again', unpack(held)) end
  if putting > 0 then
    include 'wake'
    include 'room'
    wake_putting(0)
  end
elseif #held > 0 then
  include 'payloads'
  include 'tasks'
  include 'wake'
  include 'room'
  include 'removal'
  delete(held)
end
if #held > 0 and (joining > 0 or producers == 0) then
  include 'unfinished'
  include 'wake'
  include 'finished'
  wake_finished()
end
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. answer)
return answer
