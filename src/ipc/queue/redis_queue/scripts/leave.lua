-- Takes rights away, or, if they contain an x, removes the process with its sessions. -> 1 if the queue has ended
-- ID RIGHTS SESSION...
local id, rights = ARGV[1], ARGV[2]
call('HDEL', meta, '')
if call('EXISTS', meta) == 0 then return {1} end
if string.find(rights, 'p', 1, true) then lose('puts', id) end
if string.find(rights, 'g', 1, true) then lose('gets', id) end
if not string.find(rights, 'x', 1, true) then return {0} end
if #ARGV > 2 then call('HDEL', queue .. 'ses', unpack(ARGV, 3)) end
local left = call('SORT', queue .. 'lease:' .. id, 'LIMIT', 0, 1000)
while #left > 0 do
  call('SREM', queue .. 'lease:' .. id, unpack(left))
  give_back(left, nil)
  left = call('SORT', queue .. 'lease:' .. id, 'LIMIT', 0, 1000)
end
return {remove(id) and 1 or 0}
