-- Reads. -> 1, items that can be got, unfinished tasks, dead letters, processes that can put (-1: none has come yet), that
-- can get
local fields = call('HMGET', meta, 'v', 'sp', 'sg')
if not fields[1] then return {-1} end
local dead = call('LLEN', queue .. 'dead')
local puts, gets = call('SCARD', queue .. 'puts'), call('SCARD', queue .. 'gets')
return {
  1, call('LLEN', queue .. 'wait') + call('LLEN', queue .. 'back'), call('HLEN', queue .. 'items') - dead, dead,
  fields[2] and puts or -1, fields[3] and gets or -1,
}
