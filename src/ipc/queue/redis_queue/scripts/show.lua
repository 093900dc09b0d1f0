-- Reads everything that there is to show. VERSION -> 1, kind, capacity (0: unlimited), whether it is temporary, items that can
-- be got, unfinished, dead letters, bytes, then for each process: its id, its rights, the number of its leases, ms until it
-- expires
include 'head'
include 'ours'
include 'state'
include 'unfinished'
include 'contents'
include 'time'
local temporary = call('HGET', meta, 'temp')
local queued, left, dead = contents()
local most = capacity < math.huge and capacity or 0
local answer = {1, kind, most, tonumber(temporary), queued, left, dead, bytes}
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
