-- Wakes up to `most` of the `waiting` clients: each takes one token from the list. Returns how many still wait.
local function wake(list, waiting, most)
  local count = math.min(waiting, most, 1000)
  if count > 0 then
    local tokens = {}
    for i = 1, count do tokens[i] = 1 end
    must('RPUSH', queue .. list, unpack(tokens))
  end
  return waiting - count
end
