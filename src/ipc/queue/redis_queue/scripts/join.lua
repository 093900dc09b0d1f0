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
elseif fields[3] then
  local consumers = tonumber(fields[3])
  if own ~= '' and string.find(call('HGET', meta, 'm:' .. own) or '', 'g') then consumers = consumers - 1 end
  if consumers == 0 then
    local leases = 0
    for _, member in ipairs(call('ZRANGE', queue .. 'live', 0, -1)) do
      leases = leases + call('SCARD', queue .. 'lease:' .. member)
    end
    if leases == 0 then answer = {-3, left} end
  end
end
if answer then waits = '0' end
if waits ~= registered then call('HINCRBY', meta, 'wd', waits == '1' and 1 or -1) end
return answer or {0}
