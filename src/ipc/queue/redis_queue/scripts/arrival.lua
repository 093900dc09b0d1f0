-- Plain gets. The list `items` has the items from the number `first` on. The last byte of an item is 0 behind its payload, or
-- 1 if the payload is in the hash `long`: then the item is its field there, which begins with the length of the payload in
-- four bytes. A script copies and hashes each byte that it touches, which takes longer than to send it.
-- A get removes nothing: what it took is removed once its answer has arrived, which the next get of the session shows. Its
-- record has, after the number of the request, p or l, three numbers and the member: it took what is from the second number
-- to before the third; what is before that, from the first number on, has arrived and is still to be removed. With l there
-- may be long ones among them.

-- Reads the three numbers, and whether there may be long ones. Returns nothing for another record.
local function taken(record)
  local sign = record and string.sub(record, 13, 13)
  if sign ~= 'p' and sign ~= 'l' then return nil end
  local since, from, to = struct.unpack('<ddd', record, 14)
  return since, from, to, sign == 'l'
end

-- Returns the numbers from `from` to before `to`.
local function numbers_of(from, to)
  local numbers = {}
  for number = from, to - 1 do numbers[#numbers + 1] = string.format('%d', number) end
  return numbers
end

-- Returns the items that a get took.
local function read(from, to)
  if from < first then return call('HMGET', queue .. 'late', unpack(numbers_of(from, to))) end
  return call('LRANGE', queue .. 'items', string.format('%d', from - first), string.format('%d', to - first - 1))
end

-- Moves what is before `last` aside: the answers to the gets that took it have not arrived, and much has arrived behind it.
local function set_aside(last)
  for from = first, last - 1, 1000 do
    local to = math.min(from + 1000, last)
    local entries, items = {}, read(from, to)
    for i, number in ipairs(numbers_of(from, to)) do entries[2 * i - 1], entries[2 * i] = number, items[i] end
    call('HSET', queue .. 'late', unpack(entries))
  end
end

-- Removes what has arrived: from `from` to before `to`. Begins with a write that needs no memory.
local function settle(from, to, has_long)
  if has_long then call('HDEL', queue .. 'long', unpack(read(from, to))) end
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
  -- What a request that was repeated late has set again.
  if has_long and first == put and call('EXISTS', queue .. 'late') == 0 then call('UNLINK', queue .. 'long') end
end
