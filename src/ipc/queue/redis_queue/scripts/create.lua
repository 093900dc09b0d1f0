-- Creates a queue, or joins the one that is there, with this process as a member.
-- VERSION KIND CAPACITY LIMIT TEMPORARY POLICY MAX MEMBER RIGHTS TTL -> 1 CAPACITY LIMIT, -5 KEY for a foreign key, or
-- -6 KIND if it has another one
local version, kind, capacity, limit, temporary, policy, max, member, rights, ttl = unpack(ARGV)
local exists = call('TYPE', meta).ok == 'hash' and call('HGET', meta, 'v') == version
if exists then kind = call('HGET', meta, 'kind') end
if kind == 'plain' then types.items = 'list' end
for name, expected in pairs(types) do
  local found = call('TYPE', queue .. name).ok
  if found ~= 'none' and not (exists and found == expected) then return {-5, queue .. name} end
end
if kind ~= ARGV[2] then return {-6, kind} end
if not exists then
  call('HSET', meta, 'v', version, 'kind', kind, 'cap', capacity, 'limit', limit, 'temp', temporary, 'policy', policy,
    'max', max, 'put', 0, 'got', 0, 'first', 0, 'bytes', 0, 'beat', now())
end
local fields = call('HMGET', meta, 'cap', 'limit')
enter(member, rights, tonumber(ttl))
return {1, tonumber(fields[1]), tonumber(fields[2])}
