-- Leases that end without their tasks being done.

-- Returns items whose leases have ended to the queue, in order; those that were returned too often become dead letters.
-- `death` names the process that died with them: then the queue's policy decides. At most 1,000. The caller saves the state.
local function give_back(numbers, death)
  if #numbers == 0 then return end
  local max, policy = unpack(call('HMGET', meta, 'max', 'policy'))
  if death and policy == 'drop' then
    delete(numbers)
  else
    local returned, dead = {}, {}
    for _, number in ipairs(numbers) do
      local again = call('HINCRBY', queue .. 'again', number, 1)
      local list = (again > tonumber(max) or (death and policy == 'fail')) and dead or returned
      list[#list + 1] = number
    end
    if #returned > 0 then
      call('RPUSH', queue .. 'back', unpack(returned))
      back = back + #returned
      getting = wake('more', getting, #returned)
    end
    if #dead > 0 then call('RPUSH', queue .. 'dead', unpack(dead)) end
    if #dead > 0 and death and policy == 'fail' then call('HSETNX', meta, 'died', death .. ' ' .. dead[1]) end
  end
  wake_finished()
end
