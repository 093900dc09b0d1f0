-- Removes dead letters. SESSION REQUEST NUMBER ... -> 1, a text with 1 or 0 (another process was faster) for each
local session, request = ARGV[1], ARGV[2]
call('HDEL', meta, '')
if call('EXISTS', meta) == 0 then return {-1} end
local answer, before = recorded(session, request)
if answer then return {1, answer} end
local removed, is_removed = {}, {}
for i = 3, #ARGV do
  is_removed[#is_removed + 1] = call('LREM', queue .. 'dead', 1, ARGV[i])
  if is_removed[#is_removed] == 1 then removed[#removed + 1] = ARGV[i] end
end
if #removed > 0 then delete(removed) end
if call('LLEN', queue .. 'dead') == 0 then call('HDEL', meta, 'died') end
answer = table.concat(is_removed)
settle(before)
record(session, request, answer)
return {1, answer}
