-- Removes dead letters. SESSION REQUEST MEMBER NUMBER ... -> a text with 1 or 0 (another process was faster) for each
include 'head'
include 'session'
include 'state'
include 'save'
include 'wake'
include 'room'
include 'payloads'
include 'tasks'
include 'removal'
if kind ~= 'tasks' then return -1 end
if is_repeated then return string.sub(record, 13) end
local removed, is_removed = {}, {}
for i = 4, #ARGV do
  is_removed[#is_removed + 1] = call('LREM', queue .. 'dead', 1, ARGV[i])
  if is_removed[#is_removed] == 1 then removed[#removed + 1] = ARGV[i] end
end
if #removed > 0 then delete(removed) end
if call('LLEN', queue .. 'dead') == 0 then call('HDEL', meta, 'died') end
local answer = table.concat(is_removed)
save(session, request .. answer)
return answer
