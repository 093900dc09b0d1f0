-- Gets items of a queue without tasks. SESSION REQUEST MEMBER FLAGS COUNT -> batches, one after another; 0 if there is none,
-- -2 if the process is no longer a member, -3 if no producer is left
-- The field SESSION followed by b holds the batches until the session's next get shows that they have arrived. Their strings
-- are kept as long; the record names them after the member.
include 'head'
include 'session'
include 'state'
include 'waiting'
include 'batches'
local member, count = ARGV[3], tonumber(ARGV[5])
local waits, registered, own = string.byte(ARGV[4], 1, 3)
if kind ~= 'plain' then return -1 end
if is_repeated then
  if string.sub(record, 13, 13) == 'g' then return call('HGET', meta, session .. 'b') end
  -- The process may have become a member again since it was declared dead.
  return tonumber(string.sub(record, 13)) or (call('HGET', meta, 'm:' .. member) and 0 or -2)
end
-- Where the names of the last get's strings begin in the record.
local names = record and string.find(record, ' ', 13, true)
local left, rights = math.min(put - got, count), nil
-- A session of a process that was declared dead has an x in place of its last answer.
if left == 0 or not record or string.sub(record, 13, 13) == 'x' then
  rights = call('HGET', meta, 'm:' .. member)
  if not rights then return -2 end
end
if left == 0 then
  local is_over = producers == (own == 1 and string.find(rights, 'p') and 1 or 0)
  call('HDEL', meta, session .. 'b')
  if names then
    include 'payloads'
    remove_payloads(string.sub(record, names))
  end
  include 'nothing'
end
local items, strings, length = queue .. 'items', '', 0
got = got + left
getting = register(getting, 0, registered)
if putting > 0 then
  include 'wake'
  include 'room'
  wake_putting(left)
end
-- The first batch is left in the list while items are taken from it. Others are put back if they were too many.
local answer, next = {}, 1
local batches = {taken > 0 and call('LINDEX', items, 0) or call('LPOP', items)}
while left > 0 do
  local batch = batches[next]
  local all, bytes_of_all, start, name, at = struct.unpack(header, batch)
  local some, bytes_of_some = math.min(all - taken, left), bytes_of_all
  if some < all then
    include 'part'
    batch, bytes_of_some = part(batch, all, start, name, at, taken, skipped, some)
  end
  answer[#answer + 1] = batch
  if name ~= '' then strings = strings .. ' ' .. name .. ' ' .. some end
  left, length = left - some, length + bytes_of_some
  if taken + some < all then
    if taken > 0 then next = next + 1 end
    taken, skipped = taken + some, skipped + bytes_of_some
  else
    if taken > 0 then call('LPOP', items) end
    taken, skipped, next = 0, 0, next + 1
    if left > 0 and next > #batches then batches, next = call('LPOP', items, math.ceil(left / all)), 1 end
  end
end
for i = #batches, next, -1 do call('LPUSH', items, batches[i]) end
if names then
  include 'payloads'
  remove_payloads(string.sub(record, names))
end
bytes = bytes - length
answer = #answer == 1 and answer[1] or table.concat(answer)
record = request .. 'g' .. member .. strings
must('HSET', meta, 'state', struct.pack(format, STATE), session, record, session .. 'b', answer)
return answer
