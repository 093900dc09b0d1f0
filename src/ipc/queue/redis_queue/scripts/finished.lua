-- If no task is left, wakes those that wait for that: the joining, and, without producers, the getting.
local function wake_finished()
  local ends = producers == 0 and getting > 0
  if (joining > 0 or ends) and unfinished() == 0 then
    joining = wake('done', joining, 1000)
    if ends then getting = wake('more', getting, 1000) end
  end
end
