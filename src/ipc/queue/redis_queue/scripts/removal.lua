-- Removes items whose leases have ended. The caller saves the state.
local function delete(numbers)
  local items = call('HMGET', queue .. 'items', unpack(numbers))
  for _, item in ipairs(items) do bytes = bytes - length_of(item) end
  remove_payloads(strings_of(items, 1, #items))
  call('HDEL', queue .. 'items', unpack(numbers))
  call('HDEL', queue .. 'again', unpack(numbers))
  wake_putting(0)
end
