-- Plain gets. The list `items` has the payloads from the number `first` on. A get removes nothing: what it took is removed
-- once its answer has arrived, which the session's next request shows. Its answer is recorded as p, three numbers and the
-- member: it took what is from the second number to before the third; what is before that, from the first number on, has
-- arrived and is still to be removed.

local function took(since, from, to, member)
  return 'p' .. struct.pack('<ddd', since, from, to) .. member
end

-- Reads the three numbers. Returns nothing for another answer.
local function taken(answer)
  if not answer or string.sub(answer, 1, 1) ~= 'p' then return nil end
  return struct.unpack('<ddd', answer, 2)
end

local function holder(answer)
  return string.sub(answer, 26)
end

-- Returns the numbers from `from` to before `to`.
local function numbers_of(from, to)
  local numbers = {}
  for number = from, to - 1 do numbers[#numbers + 1] = int(number) end
  return numbers
end

-- Returns the payloads of what a get took.
local function read(from, to, first)
  if from < first then return call('HMGET', queue .. 'late', unpack(numbers_of(from, to))) end
  return call('LRANGE', queue .. 'items', int(from - first), int(to - first - 1))
end

-- Moves what is before `last` aside: the answers to the gets that took it have not arrived, and much has arrived behind it.
local function set_aside(first, last)
  for from = first, last - 1, 1000 do
    local to = math.min(from + 1000, last)
    local entries, payloads = {}, read(from, to, first)
    for i, number in ipairs(numbers_of(from, to)) do entries[2 * i - 1], entries[2 * i] = number, payloads[i] end
    call('HSET', queue .. 'late', unpack(entries))
  end
end

-- Removes what has arrived: from `from` to before `to`. `got` is the next number to be got. Returns the new `first`, which the
-- caller writes. Begins with a write that needs no memory.
local function settle(from, to, first, got)
  if from < first then
    call('HDEL', queue .. 'late', unpack(numbers_of(from, to)))
    return first
  end
  if from > first then
    -- Others took what is before it, and their answers may not have arrived.
    call('HDEL', meta, '')
    call('HSET', queue .. 'arrived', from, to)
    if from - first < 1000 then return first end
    to = from
    for _, start in ipairs(call('HKEYS', queue .. 'arrived')) do to = math.min(to, tonumber(start)) end
    set_aside(first, to)
  end
  while to < got do
    local further = call('HGET', queue .. 'arrived', to)
    if not further then break end
    call('HDEL', queue .. 'arrived', to)
    to = tonumber(further)
  end
  call('LTRIM', queue .. 'items', to - first, -1)
  return to
end

-- Settles what the gets of some sessions took: those for which `has_arrived` says so.
local function settle_sessions(records, has_arrived)
  local fields = call('HMGET', meta, 'first', 'got')
  local first, got = tonumber(fields[1]), tonumber(fields[2])
  for session, record in pairs(records) do
    local request, answer = string.match(record, '^(%d+) (.*)$')
    local since, _, to = taken(answer)
    if since and has_arrived(session, request, answer) then
      first = settle(since, to, first, got)
      call('HSET', meta, session, request .. ' 0', 'first', first)
    end
  end
end
