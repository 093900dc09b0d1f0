-- Declares a process dead: its leases return to the queue. -> how many are left for another call
-- MEMBER FORCED (1: whoever started it says so; 0: only if it has expired)
include 'head'
include 'packed'
include 'state'
include 'members'
include 'abandon'
call('HDEL', meta, '')
local member = ARGV[1]
local expires = call('ZSCORE', queue .. 'live', member)
if not expires then return 0 end
local time = now()
if ARGV[2] == '0' and (tonumber(expires) > time or time - call('HGET', meta, 'beat') > 1000) then return 0 end
-- From here on it cannot come back, also if this is cut short.
call('ZADD', queue .. 'live', -1, member)
lose(member, 'pg')
call('HDEL', meta, 'm:' .. member)
local left = abandon(member, member)
if left > 0 then
  save()
elseif not remove(member) then
  call('ZADD', queue .. 'gone', time, process_of(member))
end
return left
