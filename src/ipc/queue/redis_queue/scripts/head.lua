-- The beginning of every script. KEYS[1] is the queue's meta key, ipcq:{NAME}:meta; all keys of a queue have that prefix,
-- and with it one slot of a cluster. Scripts are atomic, but what they have written stays if they fail: they read and
-- check everything first. A script that must work in a full memory begins with a write that needs none.
local call = redis.call
local meta = KEYS[1]
local queue = string.sub(meta, 1, -5)

-- Wakes up to `most` of the `waiting` clients that are registered in a field: each takes one token from the list.
local function wake(list, field, waiting, most)
  local count = math.min(tonumber(waiting) or 0, most, 1000)
  if count > 0 then
    local tokens = {}
    for i = 1, count do tokens[i] = 1 end
    call('RPUSH', queue .. list, unpack(tokens))
    call('HINCRBY', meta, field, -count)
  end
end

-- Wakes all that wait for room if some of them wait for bytes, which have become free.
local function wake_short(short, waiting)
  if short then
    call('HDEL', meta, 'short')
    wake('room', 'wr', waiting, 1000)
  end
end

-- Returns the number of items that are in the queue or leased. For a queue of tasks.
local function unfinished()
  return call('HLEN', queue .. 'items') - call('LLEN', queue .. 'dead')
end

-- Returns the time in milliseconds.
local function now()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
