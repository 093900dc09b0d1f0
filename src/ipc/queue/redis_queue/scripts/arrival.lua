-- Plain gets. The list `items` has the payloads from the number `first` on. A get removes nothing: what it took is removed
-- once its answer has arrived, which the session's next request shows.

-- Reads the answer 'p MEMBER BYTES FROM TO' of a get. Returns nothing for another answer.
local function taken(answer)
  local member, bytes, from, to = string.match(answer or '', '^p (%S+) (%d+) (%d+) (%d+)$')
  return member, tonumber(bytes), tonumber(from), tonumber(to)
end

-- Removes what a get took. `got` is the next number to be got. Returns the new `first` and the bytes that became free, which
-- the caller writes. In a full memory too.
local function settle(answer, first, got)
  local member, bytes, from, to = taken(answer)
  if not member then
    call('HDEL', meta, '')
    return first, 0
  end
  if from > first then
    -- Others took what is before it, and their answers may not have arrived.
    call('HDEL', meta, '')
    call('HSET', queue .. 'arrived', from, to)
    return first, bytes
  end
  while to < got do
    local further = call('HGET', queue .. 'arrived', to)
    if not further then break end
    call('HDEL', queue .. 'arrived', to)
    to = tonumber(further)
  end
  call('LTRIM', queue .. 'items', to - first, -1)
  return to, bytes
end

-- Settles what the gets of some sessions took: those for which `has_arrived` says so.
local function settle_sessions(records, has_arrived)
  local fields = call('HMGET', meta, 'first', 'bytes', 'short', 'wr', 'got')
  local first, got, freed = tonumber(fields[1]), tonumber(fields[5]), 0
  for session, record in pairs(records) do
    local request, answer = string.match(record, '^(%d+) (.*)$')
    local member = taken(answer)
    if member and has_arrived(session, request, member) then
      local bytes
      first, bytes = settle(answer, first, got)
      freed = freed + bytes
      call('HSET', meta, session, request .. ' 0', 'first', first, 'bytes', fields[2] - freed)
    end
  end
  if freed > 0 then wake_short(fields[3], fields[4]) end
end
