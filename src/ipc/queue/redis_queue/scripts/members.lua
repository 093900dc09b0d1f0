-- The processes that use a queue: `live` has the time at which each expires, its field m:MEMBER of meta its rights: a text
-- with p (put) and g (get).
include 'time'
include 'save'
include 'wake'

-- The types of the keys.
local types = {
  meta = 'hash', items = 'hash', long = 'hash', again = 'hash', back = 'list', dead = 'list', more = 'list',
  room = 'list', done = 'list', live = 'zset', gone = 'zset',
}

-- Takes away some of a member's rights. The last one that has a right is missed by those that wait on the other side. The
-- caller saves the state.
local function lose(member, rights)
  local left = call('HGET', meta, 'm:' .. member)
  if not left then return end
  if string.find(left, 'p') and string.find(rights, 'p') then
    left = string.gsub(left, 'p', '')
    producers = producers - 1
    if producers == 0 then getting = wake('more', getting, 1000) end
  end
  if string.find(left, 'g') and string.find(rights, 'g') then
    left = string.gsub(left, 'g', '')
    consumers = consumers - 1
    if consumers == 0 then
      putting = wake('room', putting, 1000)
      joining = wake('done', joining, 1000)
    end
  end
  call('HSET', meta, 'm:' .. member, left)
end

local function delete_queue()
  local keys = {}
  for name in pairs(types) do keys[#keys + 1] = queue .. name end
  for _, member in ipairs(call('ZRANGE', queue .. 'live', 0, -1)) do keys[#keys + 1] = queue .. 'lease:' .. member end
  for _, name in ipairs(call('HKEYS', queue .. 'long')) do keys[#keys + 1] = queue .. 'long:' .. name end
  for first = 1, #keys, 1000 do call('UNLINK', unpack(keys, first, math.min(first + 999, #keys))) end
end

-- Removes a member without rights and leases, and saves the state. With the last one a queue without a name ends. One with a
-- name waits for others to come, as at its beginning; but if items are left, a consumer gets them and waits for no producer.
-- Returns whether the queue has ended.
local function remove(member)
  call('ZREM', queue .. 'live', member)
  call('DEL', queue .. 'lease:' .. member)
  call('HDEL', meta, 'm:' .. member)
  if call('ZCARD', queue .. 'live') == 0 then
    if call('HGET', meta, 'temp') == '1' then
      delete_queue()
      return true
    end
    getting, putting, joining, short, consumers = 0, 0, 0, 0, -1
    if put - got + back == 0 then producers = -1 end
    call('DEL', queue .. 'more', queue .. 'room', queue .. 'done')
  end
  save()
  return false
end

-- Returns what is common to the ids that a process has had in turn.
local function process_of(member)
  return (string.gsub(member, '%-%d+$', ''))
end

-- Returns the fields of meta that belong to a process's sessions.
local function sessions_of(process)
  local theirs, prefix = {}, 's:' .. process .. '-'
  for _, field in ipairs(call('HKEYS', meta)) do
    if string.sub(field, 1, #prefix) == prefix then theirs[#theirs + 1] = field end
  end
  return theirs
end

-- Deletes the sessions of a process.
local function forget_sessions(process)
  local theirs = sessions_of(process)
  for first = 1, #theirs, 1000 do call('HDEL', meta, unpack(theirs, first, math.min(first + 999, #theirs))) end
end

-- Lets a process in, or grants it other rights too.
local function enter(member, rights, ttl)
  call('ZADD', queue .. 'live', now() + ttl, member)
  call('ZREM', queue .. 'gone', process_of(member))
  local has = call('HGET', meta, 'm:' .. member) or ''
  for right in string.gmatch(rights, '%a') do
    if not string.find(has, right) then
      has = has .. right
      if right == 'p' then producers = math.max(producers, 0) + 1 else consumers = math.max(consumers, 0) + 1 end
    end
  end
  save('m:' .. member, has)
end
