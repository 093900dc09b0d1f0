-- Leases, and their ends.

-- Returns those of `numbers` that are leased by the holder of `lease`, and a text with 1 or 0 for each.
local function which_held(lease, numbers)
  local is_held = call('SMISMEMBER', lease, unpack(numbers))
  local held = {}
  for i, number in ipairs(numbers) do
    if is_held[i] == 1 then held[#held + 1] = number end
  end
  if #held == #numbers then return numbers, string.rep('1', #numbers) end
  return held, table.concat(is_held)
end

local function bytes_of(numbers)
  local bytes = 0
  for _, number in ipairs(numbers) do bytes = bytes + call('HSTRLEN', queue .. 'items', number) end
  return bytes
end

-- Wakes those that wait for the last task to be done, if it is: the `joining`, and, without `producers`, the `getting`.
local function wake_finished(joining, getting, producers)
  local joins, ends = (tonumber(joining) or 0) > 0, producers == '0' and (tonumber(getting) or 0) > 0
  if (joins or ends) and unfinished() == 0 then
    wake('done', 'wd', joining, 1000)
    if ends then wake('more', 'wm', getting, 1000) end
  end
end

-- Deletes items whose leases are removed.
local function delete(numbers)
  local bytes = bytes_of(numbers)
  call('HDEL', queue .. 'items', unpack(numbers))
  call('HDEL', queue .. 'again', unpack(numbers))
  call('HINCRBY', meta, 'bytes', string.format('%d', -bytes))
  local fields = call('HMGET', meta, 'short', 'wr')
  wake_short(fields[1], fields[2])
end

-- Returns items whose leases are removed to the queue, in order; those that were returned too often become dead letters.
-- `death` names the process that died with them: then the queue's policy decides. At most 1,000.
local function give_back(numbers, death)
  if #numbers == 0 then return end
  local fields = call('HMGET', meta, 'max', 'policy', 'wm')
  local max, policy = tonumber(fields[1]), fields[2]
  if death and policy == 'drop' then
    delete(numbers)
  else
    local back, dead = {}, {}
    for _, number in ipairs(numbers) do
      local again = call('HINCRBY', queue .. 'again', number, 1)
      if again > max or (death and policy == 'fail') then dead[#dead + 1] = number else back[#back + 1] = number end
    end
    if #back > 0 then
      call('RPUSH', queue .. 'back', unpack(back))
      wake('more', 'wm', fields[3], #back)
    end
    if #dead > 0 then call('RPUSH', queue .. 'dead', unpack(dead)) end
    if #dead > 0 and death and policy == 'fail' then call('HSETNX', meta, 'died', death .. ' ' .. dead[1]) end
  end
  wake_finished(unpack(call('HMGET', meta, 'wd', 'wm', 'np')))
end
