-- Reads everything that there is to show. -> 1, kind, capacity, whether it is temporary, items that can be got, unfinished,
-- dead letters, bytes, then for each process: its id, its rights, the number of its leases, ms until it expires
local fields = call('HMGET', meta, 'kind', 'cap', 'temp', 'put', 'got', 'bytes')
if not fields[1] then return {-1} end
local queued, left, dead = contents(fields[1], fields[4] - fields[5])
local answer = {1, fields[1], tonumber(fields[2]), tonumber(fields[3]), queued, left, dead, tonumber(fields[6])}
local time = now()
local members = call('ZRANGE', queue .. 'live', 0, -1, 'WITHSCORES')
for i = 1, #members, 2 do
  local member = members[i]
  answer[#answer + 1] = member
  answer[#answer + 1] = call('HGET', meta, 'm:' .. member) or ''
  answer[#answer + 1] = call('SCARD', queue .. 'lease:' .. member)
  answer[#answer + 1] = math.floor(members[i + 1] - time)
end
return answer
