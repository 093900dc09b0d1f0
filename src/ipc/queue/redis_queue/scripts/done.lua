-- Ends leases: their tasks are done. SESSION REQUEST ID NUMBER LENGTH ... -> 1, a text with 1 or 0 (lease lost) for each
local session, request, id = unpack(ARGV, 1, 3)
local fields = call('HMGET', meta, 'v', 'limit', 'wr', 'wd', 'wm')
if not fields[1] then return {-1} end
local answer, before = recorded(session, request)
if answer then return {1, answer} end
local lease = queue .. 'lease:' .. id
local numbers, lengths = {}, {}
for i = 4, #ARGV, 2 do
  numbers[#numbers + 1] = ARGV[i]
  lengths[#lengths + 1] = ARGV[i + 1]
end
local is_held = call('SMISMEMBER', lease, unpack(numbers))
local held, bytes = {}, 0
for i, number in ipairs(numbers) do
  if is_held[i] == 1 then
    held[#held + 1] = number
    bytes = bytes + lengths[i]
  end
end
answer = table.concat(is_held)
if #held > 0 then
  call('SREM', lease, unpack(held))
  call('HDEL', queue .. 'items', unpack(held))
  call('HDEL', queue .. 'again', unpack(held))
  if bytes > 0 then call('HINCRBY', meta, 'bytes', -bytes) end
end
settle(before)
record(session, request, answer)
if #held > 0 then
  if tonumber(fields[2]) > 0 then wake('room', 'wr', fields[3], 1000) end
  if call('HLEN', queue .. 'items') == call('LLEN', queue .. 'dead') then
    wake('done', 'wd', fields[4], 1000)
    if call('SCARD', queue .. 'puts') == 0 then wake('more', 'wm', fields[5], 1000) end
  end
end
return {1, answer}
