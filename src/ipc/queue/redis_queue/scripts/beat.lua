-- Prolongs the life of this process, and finds those that have expired.
-- TTL ID ACKNOWLEDGED ... (pairs of a session and a request) -> 1 if the process is a member, else 0; ms until the next one
-- expires (-1 if there is no other); ID... that have expired
call('HDEL', meta, '')
local ttl, id = tonumber(ARGV[1]), ARGV[2]
local last = call('HGET', meta, 'beat')
if not last then return {-1} end
local time = now()
local live = queue .. 'live'
if time - last > 1000 then
  -- Nobody reached the server: nobody is dead for that.
  for _, other in ipairs(call('ZRANGEBYSCORE', live, '(0', time + ttl)) do call('ZADD', live, time + ttl, other) end
end
call('HSET', meta, 'beat', time)
local expires = id ~= '' and call('ZSCORE', live, id)
local is_member = expires and tonumber(expires) > 0
if is_member then call('ZADD', live, time + ttl, id) end
for i = 3, #ARGV, 2 do
  local answer = recorded(ARGV[i], ARGV[i + 1])
  if settle(answer) then record(ARGV[i], ARGV[i + 1], 'p0') end
end
-- The sessions of processes that were declared dead: their late requests are recognised for an hour.
local gone = call('ZRANGEBYSCORE', queue .. 'gone', '-inf', time - 3600000, 'LIMIT', 0, 1)[1]
if gone then
  local theirs = {}
  for _, session in ipairs(call('HKEYS', queue .. 'ses')) do
    if string.sub(session, 1, #gone + 1) == gone .. ':' then theirs[#theirs + 1] = session end
  end
  for first = 1, #theirs, 1000 do call('HDEL', queue .. 'ses', unpack(theirs, first, math.min(first + 999, #theirs))) end
  call('ZREM', queue .. 'gone', gone)
end
local answer = {is_member and 1 or 0, -1}
for _, other in ipairs(call('ZRANGEBYSCORE', live, '-inf', time, 'LIMIT', 0, 10)) do answer[#answer + 1] = other end
local first = call('ZRANGEBYSCORE', live, '(' .. time, '+inf', 'WITHSCORES', 'LIMIT', 0, 2)
for i = 1, #first, 2 do
  if first[i] ~= id then
    answer[2] = math.floor(first[i + 1] - time)
    break
  end
end
return answer
