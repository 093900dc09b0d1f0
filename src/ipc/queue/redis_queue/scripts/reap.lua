-- Declares a process dead: its leases return to the queue. -> how many are left for another call
-- ID FORCED (1: whoever started it says so; 0: only if it has expired)
call('HDEL', meta, '')
local id = ARGV[1]
local expires = call('ZSCORE', queue .. 'live', id)
if not expires then return {0} end
local time = now()
if ARGV[2] == '0' and (tonumber(expires) > time or time - call('HGET', meta, 'beat') > 1000) then return {0} end
-- From here on it cannot come back, also if this is cut short.
call('ZADD', queue .. 'live', -1, id)
lose('puts', id)
lose('gets', id)
local lease = queue .. 'lease:' .. id
local numbers = call('SORT', lease, 'LIMIT', 0, 1000)
if #numbers > 0 then call('SREM', lease, unpack(numbers)) end
give_back(numbers, id)
local left = call('SCARD', lease)
if left == 0 and not remove(id) then call('ZADD', queue .. 'gone', time, (string.gsub(id, '%-%d+$', ''))) end
return {left}
