-- Prolongs the life of this process, and finds those that have expired.
-- TTL MEMBER ACKNOWLEDGED ... (pairs of a session and a request) -> 1 if the process is a member, else 0; ms until the next
-- one expires (-1 if there is no other); MEMBER... that have expired
include 'head'
include 'packed'
include 'state'
include 'members'
include 'payloads'
include 'settle'
call('HDEL', meta, '')
local ttl, member = tonumber(ARGV[1]), ARGV[2]
local last, rights = unpack(call('HMGET', meta, 'beat', 'm:' .. member))
if not last then return -1 end
local time = now()
local live = queue .. 'live'
if time - last > 1000 then
  -- Nobody reached the server: nobody is dead for that.
  for _, other in ipairs(call('ZRANGEBYSCORE', live, '(0', time + ttl)) do call('ZADD', live, time + ttl, other) end
end
call('HSET', meta, 'beat', time)
if rights then call('ZADD', live, time + ttl, member) end
for i = 3, #ARGV, 2 do
  local session, request = ARGV[i], ARGV[i + 1]
  local record = call('HGET', meta, session) or ''
  local strings = string.match(record, '^g%S+(.*)$', 13)
  if strings and string.sub(record, 1, 12) == request then settle(session, record, strings, '0') end
end
-- The sessions of processes that were declared dead: their late requests are recognised for an hour.
local gone = call('ZRANGEBYSCORE', queue .. 'gone', '-inf', time - 3600000, 'LIMIT', 0, 1)[1]
if gone then
  forget_sessions(gone)
  call('ZREM', queue .. 'gone', gone)
end
local answer = {rights and 1 or 0, -1}
for _, other in ipairs(call('ZRANGEBYSCORE', live, '-inf', time, 'LIMIT', 0, 10)) do answer[#answer + 1] = other end
local first = call('ZRANGEBYSCORE', live, '(' .. time, '+inf', 'WITHSCORES', 'LIMIT', 0, 2)
for i = 1, #first, 2 do
  if first[i] ~= member then
    answer[2] = math.floor(first[i + 1] - time)
    break
  end
end
return answer
