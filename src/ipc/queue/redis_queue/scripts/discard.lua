-- Removes dead letters. SESSION REQUEST NUMBER ... -> 1, a text with 1 or 0 (another process was faster) for each
local session, request = ARGV[1], ARGV[2]
local fields = call('HMGET', meta, 'kind', session)
if fields[1] ~= 'tasks' then return {-1} end
local answer = recorded(fields[2], request)
if answer then return {1, answer} end
call('HDEL', meta, '')
local removed, is_removed = {}, {}
for i = 3, #ARGV do
  is_removed[#is_removed + 1] = call('LREM', queue .. 'dead', 1, ARGV[i])
  if is_removed[#is_removed] == 1 then removed[#removed + 1] = ARGV[i] end
end
if #removed > 0 then delete(removed) end
if call('LLEN', queue .. 'dead') == 0 then call('HDEL', meta, 'died') end
answer = table.concat(is_removed)
call('HSET', meta, session, request .. ' ' .. answer)
return {1, answer}
