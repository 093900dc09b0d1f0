-- Creates a queue, or joins the one that is there, with this process as a member.
-- VERSION KIND CAPACITY LIMIT TEMPORARY POLICY MAX MEMBER RIGHTS TTL -> 1 CAPACITY LIMIT (capacity 0: unlimited), -5 KEY for
-- a foreign key, or -6 if it has another kind
include 'head'
include 'open'
include 'state'
include 'members'
local version, wanted, most, longest, temporary, policy, max, member, rights, ttl = unpack(ARGV)
kind = kind or wanted
if kind == 'plain' then types.items = 'list' end
for name, expected in pairs(types) do
  local found = call('TYPE', queue .. name).ok
  if found ~= 'none' and not (packed and found == expected) then return {-5, queue .. name} end
end
if kind ~= wanted then return -6 end
if not packed then
  capacity, limit = tonumber(most), tonumber(longest)
  if capacity == 0 then capacity = math.huge end
  put, got, taken, skipped, bytes, back, getting, putting, joining, short = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  producers, consumers = -1, -1
  call('HSET', meta, 'v', version, 'temp', temporary, 'policy', policy, 'max', max, 'beat', now())
  -- See tasks.lua.
  if kind == 'tasks' then call('HSET', queue .. 'items', '', version) end
end
enter(member, rights, tonumber(ttl))
return {1, capacity < math.huge and capacity or 0, limit}
