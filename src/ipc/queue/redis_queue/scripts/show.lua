-- Reads everything that there is to show. -> 1, kind, capacity, whether it is temporary, items that can be got, unfinished,
-- dead letters, bytes, then for each process: its id, its rights, the number of its leases, ms until it expires
local fields = call('HMGET', meta, 'v', 'kind', 'cap', 'temp', 'bytes')
if not fields[1] then return {-1} end
local dead = call('LLEN', queue .. 'dead')
local answer = {
  1, fields[2], tonumber(fields[3]), tonumber(fields[4]), call('LLEN', queue .. 'wait') + call('LLEN', queue .. 'back'),
  call('HLEN', queue .. 'items') - dead, dead, tonumber(fields[5]),
}
local time = now()
local members = call('ZRANGE', queue .. 'live', 0, -1, 'WITHSCORES')
for i = 1, #members, 2 do
  local id = members[i]
  local puts = call('SISMEMBER', queue .. 'puts', id) == 1 and 'p' or ''
  local gets = call('SISMEMBER', queue .. 'gets', id) == 1 and 'g' or ''
  answer[#answer + 1] = id
  answer[#answer + 1] = puts .. gets
  answer[#answer + 1] = call('SCARD', queue .. 'lease:' .. id)
  answer[#answer + 1] = math.floor(members[i + 1] - time)
end
return answer
