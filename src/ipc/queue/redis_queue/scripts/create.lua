-- Creates a queue, or joins the one that is there, with this process as a member.
-- VERSION KIND CAPACITY LIMIT TEMPORARY POLICY MAX ID RIGHTS TTL -> 1 CAPACITY LIMIT KIND, or -5 KEY for a foreign key
local version, kind, capacity, limit, temporary, policy, max, id, rights, ttl = unpack(ARGV)
local types = {
  meta = 'hash', items = 'hash', again = 'hash', ses = 'hash', wait = 'list', back = 'list', dead = 'list',
  more = 'list', room = 'list', done = 'list', live = 'zset', gone = 'zset', puts = 'set', gets = 'set',
}
local exists = call('TYPE', meta).ok == 'hash' and call('HGET', meta, 'v') == version
for name, expected in pairs(types) do
  local found = call('TYPE', queue .. name).ok
  if found ~= 'none' and not (exists and found == expected) then return {-5, queue .. name} end
end
if not exists then
  call('HSET', meta, 'v', version, 'kind', kind, 'cap', capacity, 'limit', limit, 'temp', temporary, 'policy', policy,
    'max', max, 'put', 0, 'bytes', 0, 'beat', now())
end
local fields = call('HMGET', meta, 'cap', 'limit', 'kind')
if fields[3] ~= kind then return {-6, fields[3]} end
enter(id, rights, tonumber(ttl))
return {1, tonumber(fields[1]), tonumber(fields[2])}
