-- Returns leased items to the queue. SESSION REQUEST ID NUMBER ... -> 1, a text with 1 or 0 (lease lost) for each
local session, request, id = unpack(ARGV, 1, 3)
call('HDEL', meta, '')
if call('EXISTS', meta) == 0 then return {-1} end
local answer, before = recorded(session, request)
if answer then return {1, answer} end
local lease = queue .. 'lease:' .. id
local is_held = call('SMISMEMBER', lease, unpack(ARGV, 4))
local held = {}
for i, is in ipairs(is_held) do
  if is == 1 then held[#held + 1] = ARGV[3 + i] end
end
answer = table.concat(is_held)
settle(before)
record(session, request, answer)
if #held > 0 then
  call('SREM', lease, unpack(held))
  give_back(held, nil)
end
return {1, answer}
