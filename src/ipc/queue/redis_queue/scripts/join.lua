-- WAITS REGISTERED OWN ID -> 1 if no task is unfinished, 0 if some are, -3 UNFINISHED if no consumer is left,
-- -4 ID NUMBER if a consumer died with that item
local waits, registered, own, id = unpack(ARGV)
local fields = call('HMGET', meta, 'v', 'died', 'sg')
if not fields[1] then return {-1} end
local unfinished = call('HLEN', queue .. 'items') - call('LLEN', queue .. 'dead')
local answer
if fields[2] then
  local died = words(fields[2])
  answer = {-4, died[1], died[2]}
elseif unfinished == 0 then
  answer = {1}
elseif fields[3] then
  local consumers = call('SCARD', queue .. 'gets')
  if own ~= '' then consumers = consumers - call('SISMEMBER', queue .. 'gets', own) end
  local leases = 0
  if consumers == 0 then
    for _, member in ipairs(call('ZRANGE', queue .. 'live', 0, -1)) do
      leases = leases + call('SCARD', queue .. 'lease:' .. member)
    end
    if leases == 0 then answer = {-3, unfinished} end
  end
end
if answer then waits = '0' end
if waits ~= registered then call('HINCRBY', meta, 'wd', waits == '1' and 1 or -1) end
return answer or {0}
