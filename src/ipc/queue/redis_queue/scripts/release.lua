-- Ends the leases on `numbers` that the holder of `lease` has. Returns those, and a text with 1 (held) or 0 for each of
-- `numbers`. Begins with a write that needs no memory, or writes nothing.
local function release(lease, numbers)
  if #numbers == 1 then
    local removed = call('SREM', lease, numbers[1])
    return removed == 1 and numbers or {}, tostring(removed)
  end
  if call('SCARD', lease) == #numbers and table.concat(call('SMEMBERS', lease), ' ') == table.concat(numbers, ' ') then
    -- These are all of its leases: deleting the set takes half the time.
    call('DEL', lease)
    return numbers, string.rep('1', #numbers)
  end
  local is_held, held = call('SMISMEMBER', lease, unpack(numbers)), numbers
  local answer = table.concat(is_held)
  if string.find(answer, '0', 1, true) then
    held = {}
    for i, number in ipairs(numbers) do
      if is_held[i] == 1 then held[#held + 1] = number end
    end
  end
  if #held > 0 then call('SREM', lease, unpack(held)) end
  return held, answer
end
