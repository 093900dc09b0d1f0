-- Clients that wait: each takes a token from a list. The FLAGS of a request are bytes of value 1 or 0: whether the client will
-- wait if it must, whether it is registered as waiting, and, for gets, whether the process's own right to put is ignored.

-- Returns how many are `waiting` when the caller, which was registered or not, `waits` from now on or does not.
local function register(waiting, waits, registered)
  if waits == registered then return waiting end
  return math.max(0, waiting + (waits == 1 and 1 or -1))
end
