-- Plain gets. The list `items` has the payloads from the number `first` on. A get removes nothing: what it took is removed
-- once its answer has arrived, which the next get of the session shows. Its record has, after the number of the request, p,
-- three numbers and the member: it took what is from the second number to before the third; what is before that, from the
-- first number on, has arrived and is still to be removed.

-- Reads the three numbers. Returns nothing for another record.
local function taken(record)
  if not record or string.sub(record, 13, 13) ~= 'p' then return nil end
  return struct.unpack('<ddd', record, 14)
end

-- Returns the numbers from `from` to before `to`.
local function numbers_of(from, to)
  local numbers = {}
  for number = from, to - 1 do numbers[#numbers + 1] = string.format('%d', number) end
  return numbers
end

-- Returns the payloads of what a get took.
local function read(from, to)
  if from < first then return call('HMGET', queue .. 'late', unpack(numbers_of(from, to))) end
  return call('LRANGE', queue .. 'items', string.format('%d', from - first), string.format('%d', to - first - 1))
end

-- Moves what is before `last` aside: the answers to the gets that took it have not arrived, and much has arrived behind it.
local function set_aside(last)
  for from = first, last - 1, 1000 do
    local to = math.min(from + 1000, last)
    local entries, payloads = {}, read(from, to)
    for i, number in ipairs(numbers_of(from, to)) do entries[2 * i - 1], entries[2 * i] = number, payloads[i] end
    call('HSET', queue .. 'late', unpack(entries))
  end
end

-- Removes what has arrived: from `from` to before `to`. Begins with a write that needs no memory.
local function settle(from, to)
  if from < first then
    call('HDEL', queue .. 'late', unpack(numbers_of(from, to)))
    return
  end
  if from > first then
    -- Others took what is before it, and their answers may not have arrived.
    must('HSET', queue .. 'arrived', from, to)
    if from - first < 1000 then return end
    to = from
    for _, start in ipairs(call('HKEYS', queue .. 'arrived')) do to = math.min(to, tonumber(start)) end
    set_aside(to)
  end
  while to < got do
    local further = call('HGET', queue .. 'arrived', to)
    if not further then break end
    call('HDEL', queue .. 'arrived', to)
    to = tonumber(further)
  end
  call('LTRIM', queue .. 'items', string.format('%d', to - first), '-1')
  first = to
end
