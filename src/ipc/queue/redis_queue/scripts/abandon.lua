-- What a process leaves when it ends.
include 'room'
include 'payloads'
include 'settle'
include 'unfinished'
include 'finished'
include 'tasks'
include 'removal'
include 'returns'

-- In a queue without tasks, deletes what a member got last, and replaces the last answers of its get sessions with x: it is
-- dead. In a queue of tasks, returns its leases; if it is `dead`, at most 1,000 per call, because there may be many. Returns
-- how many are left. The caller saves the state.
local function abandon(member, dead)
  if kind == 'plain' then
    for _, session in ipairs(sessions_of(process_of(member))) do
      if string.sub(session, -1) == 'g' then
        local record = call('HGET', meta, session)
        local holder, strings = string.match(record, '^g(%S+)(.*)$', 13)
        if not holder or holder == member then settle(session, record, strings or '', 'x') end
      end
    end
    return 0
  end
  local lease = queue .. 'lease:' .. member
  repeat
    local numbers = call('SORT', lease, 'LIMIT', 0, 1000)
    if #numbers > 0 then
      call('SREM', lease, unpack(numbers))
      give_back(numbers, dead)
    end
  until dead or #numbers == 0
  return call('SCARD', lease)
end
