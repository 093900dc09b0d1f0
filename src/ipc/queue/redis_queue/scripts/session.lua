-- Repeatable requests: a session numbers its requests, and its field of meta, 'REQUEST ANSWER', has the last answer.

-- Returns the answer if the request was made before, otherwise nothing and the answer to the request before it.
local function recorded(record, request)
  if not record then return nil end
  local space = string.find(record, ' ', 1, true)
  local answer = string.sub(record, space + 1)
  if string.sub(record, 1, space - 1) == request then return answer end
  return nil, answer
end
