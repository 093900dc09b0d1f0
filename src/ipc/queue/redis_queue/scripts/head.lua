-- The beginning of every script. KEYS[1] is the queue's meta key, ipcq:{NAME}:meta; all keys of a queue have that prefix,
-- and with it one slot of a cluster. Scripts are atomic, but what they have written stays if they fail: they read and
-- check everything first.
--
-- A line `include 'NAME'` stands for the part NAME.lua. Defining a function costs time even if it is never called, and more for
-- each outer local that it uses. So parts that are seldom needed are included in the branch that needs them.
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
