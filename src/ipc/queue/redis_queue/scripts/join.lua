-- WAITS REGISTERED OWN -> 1 if no task is unfinished, 0 if some are, -3 UNFINISHED if no consumer is left,
-- -4 MEMBER NUMBER if a consumer died with that item
-- OWN: this process, if its own right to get does not count.
local waits, registered, own = unpack(ARGV)
local fields = call('HMGET', meta, 'kind', 'died', 'ng')
if fields[1] ~= 'tasks' then return {-1} end
local left = unfinished()
local answer
if fields[2] then
  answer = {-4, string.match(fields[2], '^(%S+) (%S+)$')}
elseif left == 0 then
  answer = {1}
elseif others(fields[3], own, 'g') == 0 then
  local leases = 0
  for _, member in ipairs(call('ZRANGE', queue .. 'live', 0, -1)) do
    leases = leases + call('SCARD', queue .. 'lease:' .. member)
  end
  if leases == 0 then answer = {-3, left} end
end
register('wd', answer and '0' or waits, registered)
return answer or {0}
