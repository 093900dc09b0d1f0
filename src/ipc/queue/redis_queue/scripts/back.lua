-- Returns leased items to the queue. SESSION REQUEST MEMBER NUMBER ... -> a text with 1 or 0 (lease lost) for each
include 'head'
include 'session'
include 'state'
include 'save'
include 'release'
include 'wake'
include 'room'
include 'payloads'
include 'unfinished'
include 'finished'
include 'tasks'
include 'removal'
include 'returns'
if kind ~= 'tasks' then return -1 end
if is_repeated then return string.sub(record, 13) end
local held, answer = release(queue .. 'lease:' .. ARGV[3], {unpack(ARGV, 4)})
give_back(held, nil)
save(session, request .. answer)
return answer
