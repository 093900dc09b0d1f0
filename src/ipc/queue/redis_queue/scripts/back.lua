-- Returns leased items to the queue. SESSION REQUEST MEMBER NUMBER ... -> 1, a text with 1 or 0 (lease lost) for each
local session, request, member = unpack(ARGV, 1, 3)
local fields = call('HMGET', meta, 'kind', session)
if fields[1] ~= 'tasks' then return {-1} end
local answer = recorded(fields[2], request)
if answer then return {1, answer} end
local lease = queue .. 'lease:' .. member
local held, answer = which_held(lease, {unpack(ARGV, 4)})
call('HDEL', meta, '')
call('HSET', meta, session, request .. ' ' .. answer)
if #held > 0 then
  call('SREM', lease, unpack(held))
  give_back(held, nil)
end
return {1, answer}
