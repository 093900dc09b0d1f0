-- Reads. -> 1, items that can be got, unfinished tasks, dead letters, processes that can put (-1: none has come yet), that
-- can get
include 'head'
include 'packed'
include 'state'
include 'unfinished'
include 'contents'
if not packed then return -1 end
local queued, left, dead = contents()
return {1, queued, left, dead, producers, consumers}
