-- OWN FLAGS -> 1 if no task is unfinished, 0 if some are, -3 UNFINISHED if no consumer is left, -4 MEMBER NUMBER if a consumer
-- died with that item
-- OWN: this process, if its own right to get does not count.
include 'head'
include 'packed'
include 'state'
include 'save'
include 'waiting'
include 'unfinished'
local member = ARGV[1]
local waits, registered = string.byte(ARGV[2], 1, 2)
if kind ~= 'tasks' then return -1 end
local died = call('HGET', meta, 'died')
local left = unfinished()
local answer
if died then
  answer = {-4, string.match(died, '^(%S+) (%S+)$')}
elseif left == 0 then
  answer = 1
elseif consumers == (string.find(call('HGET', meta, 'm:' .. member) or '', 'g') and 1 or 0) then
  local leases = 0
  for _, member in ipairs(call('ZRANGE', queue .. 'live', 0, -1)) do
    leases = leases + call('SCARD', queue .. 'lease:' .. member)
  end
  if leases == 0 then answer = {-3, left} end
end
waits = answer and 0 or waits
if waits ~= registered then
  joining = register(joining, waits, registered)
  save()
end
return answer or 0
