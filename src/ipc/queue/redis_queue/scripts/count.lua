-- Reads. -> 1, items that can be got, unfinished tasks, dead letters, processes that can put (-1: none has come yet), that
-- can get
local fields = call('HMGET', meta, 'kind', 'put', 'got', 'np', 'ng')
if not fields[1] then return {-1} end
local queued, left, dead = contents(fields[1], fields[2] - fields[3])
return {1, queued, left, dead, tonumber(fields[4]) or -1, tonumber(fields[5]) or -1}
