-- What a process leaves when it ends.

-- Deletes what a member got last in a queue without tasks; returns its leases to a queue of tasks, 1,000 in a call if it is
-- `dead`, because they may be many. Returns how many are left. The caller saves the state.
local function abandon(member, dead)
  if kind == 'plain' then
    local records = {}
    for _, field in ipairs(call('HKEYS', meta)) do
      if string.find(field, '^s:.*g$') then records[field] = call('HGET', meta, field) end
    end
    settle_sessions(records, function(_, _, holder) return holder == member end)
    return 0
  end
  local lease = queue .. 'lease:' .. member
  repeat
    local numbers = call('SORT', lease, 'LIMIT', 0, 1000)
    if #numbers > 0 then
      call('SREM', lease, unpack(numbers))
      give_back(numbers, dead)
    end
  until dead or #numbers == 0
  return call('SCARD', lease)
end
