-- Leases that end.

-- Ends the leases on `numbers` that the holder of `lease` has. Returns which these are, and a text with 1 or 0 for each.
-- Begins with a write that needs no memory, or writes nothing.
local function release(lease, numbers)
  if #numbers == 1 then
    local removed = call('SREM', lease, numbers[1])
    return removed == 1 and numbers or {}, tostring(removed)
  end
  local is_held, held = call('SMISMEMBER', lease, unpack(numbers)), {}
  for i, number in ipairs(numbers) do
    if is_held[i] == 1 then held[#held + 1] = number end
  end
  if #held > 0 then call('SREM', lease, unpack(held)) end
  return held, table.concat(is_held)
end

-- Removes items whose leases have ended. The caller saves the state.
local function delete(numbers)
  local items = call('HMGET', queue .. 'items', unpack(numbers))
  for _, item in ipairs(items) do bytes = bytes - length_of(item) end
  remove_payloads(strings_of(items, 1, #items))
  call('HDEL', queue .. 'items', unpack(numbers))
  call('HDEL', queue .. 'again', unpack(numbers))
  wake_putting(0)
end

-- Wakes those that wait for the last task to be done, if it is: the joining, and, without producers, the getting.
local function wake_finished()
  local ends = producers == 0 and getting > 0
  if (joining > 0 or ends) and unfinished() == 0 then
    joining = wake('done', joining, 1000)
    if ends then getting = wake('more', getting, 1000) end
  end
end
