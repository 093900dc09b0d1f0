-- Reads dead letters, oldest first. COUNT -> 1, numbers as a text, the items, how often each was returned as a text
include 'head'
if call('EXISTS', meta) == 0 then return -1 end
local numbers = call('LRANGE', queue .. 'dead', 0, ARGV[1] - 1)
if #numbers == 0 then return {1, '', {}, ''} end
local items = call('HMGET', queue .. 'items', unpack(numbers))
return {1, table.concat(numbers, ' '), items, table.concat(call('HMGET', queue .. 'again', unpack(numbers)), ' ')}
