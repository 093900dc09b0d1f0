-- Repeatable requests: a session numbers its requests, and its last answer is kept until its next request.

-- Returns the answer if the request was made before, otherwise nothing and the answer to the request before it.
local function recorded(session, request)
  local record = call('HGET', queue .. 'ses', session)
  if not record then return nil end
  local space = string.find(record, ' ', 1, true)
  local answer = string.sub(record, space + 1)
  if string.sub(record, 1, space - 1) == request then return answer end
  return nil, answer
end

local function record(session, request, answer)
  call('HSET', queue .. 'ses', session, request .. ' ' .. answer)
end

-- A plain get removes its items only once its answer has arrived, which the session's next request shows: deletes what
-- the answer 'p ID BYTES NUMBER...' names. Returns whether there was something.
local function settle(answer)
  if not answer or string.sub(answer, 1, 2) ~= 'p ' then return false end
  local numbers = words(answer)
  local id, bytes = numbers[2], tonumber(numbers[3])
  numbers = {unpack(numbers, 4)}
  if call('SREM', queue .. 'lease:' .. id, unpack(numbers)) ~= #numbers then
    -- The consumer was declared dead meanwhile, and some or all are deleted.
    bytes = 0
    for _, number in ipairs(numbers) do bytes = bytes + call('HSTRLEN', queue .. 'items', number) end
  end
  call('HDEL', queue .. 'items', unpack(numbers))
  if bytes > 0 then
    call('HINCRBY', meta, 'bytes', -bytes)
    -- Only producers that wait for bytes need it; those that wait for places were woken by the get.
    local fields = call('HMGET', meta, 'limit', 'wr')
    if tonumber(fields[1]) > 0 then wake('room', 'wr', fields[2], 1000) end
  end
  return true
end
