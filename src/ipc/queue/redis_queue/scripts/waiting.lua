-- Clients that wait: each takes a token from a list. FLAGS of a request are a byte each, 1 or 0: whether the client WAITS if
-- it must, is REGISTERED as waiting, and, for gets, whether the process's OWN right to put does not count.

-- Returns how many are `waiting` when the caller, which was registered or not, `waits` from now on or does not.
local function register(waiting, waits, registered)
  if waits == registered then return waiting end
  return math.max(0, waiting + (waits == 1 and 1 or -1))
end
