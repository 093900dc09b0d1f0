-- The ends of leases other than task_done.

-- Wakes those that wait for the last task to be done, if it is.
local function check_done()
  if call('HLEN', queue .. 'items') == call('LLEN', queue .. 'dead') then
    local waiting = call('HMGET', meta, 'wd', 'wm')
    wake('done', 'wd', waiting[1], 1000)
    if call('SCARD', queue .. 'puts') == 0 then wake('more', 'wm', waiting[2], 1000) end
  end
end

-- Deletes items whose leases are removed.
local function delete(numbers)
  local bytes = 0
  for _, number in ipairs(numbers) do bytes = bytes + call('HSTRLEN', queue .. 'items', number) end
  call('HDEL', queue .. 'items', unpack(numbers))
  call('HDEL', queue .. 'again', unpack(numbers))
  if bytes > 0 then
    call('HINCRBY', meta, 'bytes', -bytes)
    wake('room', 'wr', call('HGET', meta, 'wr'), 1000)
  end
end

-- Returns items whose leases are removed to the queue, in order; those that were returned too often become dead letters.
-- `death` names the process that died with them: then the queue's policy decides. At most 1,000.
local function give_back(numbers, death)
  if #numbers == 0 then return end
  local fields = call('HMGET', meta, 'max', 'policy', 'wm', 'kind')
  local max, policy = tonumber(fields[1]), fields[2]
  if fields[4] == 'plain' or (death and policy == 'drop') then
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
  check_done()
end
