-- The processes that use a queue: `live` has the time at which each expires, `puts` and `gets` those that can put and get.

-- Takes away a right. The last one that has it is missed by those that wait on the other side.
local function lose(right, id)
  if call('SREM', queue .. right, id) == 0 or call('SCARD', queue .. right) > 0 then return end
  local waiting = call('HMGET', meta, 'wm', 'wr', 'wd')
  if right == 'puts' then
    wake('more', 'wm', waiting[1], 1000)
  else
    wake('room', 'wr', waiting[2], 1000)
    wake('done', 'wd', waiting[3], 1000)
  end
end

local function delete_queue()
  local keys = {meta}
  for _, name in ipairs({'items', 'wait', 'back', 'dead', 'again', 'live', 'puts', 'gets', 'gone', 'ses', 'more', 'room', 'done'}) do
    keys[#keys + 1] = queue .. name
  end
  for _, id in ipairs(call('ZRANGE', queue .. 'live', 0, -1)) do keys[#keys + 1] = queue .. 'lease:' .. id end
  for first = 1, #keys, 1000 do call('UNLINK', unpack(keys, first, math.min(first + 999, #keys))) end
end

-- Removes a process without leases. With the last one a queue without a name ends; one with a name waits for others to
-- come, as at its beginning. Returns whether the queue has ended.
local function remove(id)
  lose('puts', id)
  lose('gets', id)
  call('ZREM', queue .. 'live', id)
  call('DEL', queue .. 'lease:' .. id)
  if call('ZCARD', queue .. 'live') > 0 then return false end
  if call('HGET', meta, 'temp') == '1' then
    delete_queue()
    return true
  end
  call('HDEL', meta, 'sp', 'sg', 'wm', 'wr', 'wd')
  call('DEL', queue .. 'more', queue .. 'room', queue .. 'done')
  return false
end

-- Lets a process in, or grants it other rights too: a text with p and g.
local function enter(id, rights, ttl)
  call('ZADD', queue .. 'live', now() + ttl, id)
  call('ZREM', queue .. 'gone', (string.gsub(id, '%-%d+$', '')))
  if string.find(rights, 'p', 1, true) then
    call('SADD', queue .. 'puts', id)
    call('HSET', meta, 'sp', 1)
  end
  if string.find(rights, 'g', 1, true) then
    call('SADD', queue .. 'gets', id)
    call('HSET', meta, 'sg', 1)
  end
end
