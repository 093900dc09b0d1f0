-- The beginning of every script. KEYS[1] is the queue's meta key, ipcq:{NAME}:meta; all keys of a queue have that prefix,
-- and with it one slot of a cluster. Scripts are atomic, but what they have written stays if they fail: they read and
-- check everything first. Every function that a script defines costs it time, also if it is not called.
local call = redis.call
local meta = KEYS[1]
local queue = string.sub(meta, 1, -5)

-- Writes also in a full memory: that refuses the first write of a script, unless it is one that needs none.
local function must(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  call('HDEL', meta, '')
  return call(...)
end
