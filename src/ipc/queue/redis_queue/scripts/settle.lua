-- Settles the last plain gets of some sessions, if `has_arrived` says so: their answers are not needed any more.
local function settle_sessions(records, has_arrived)
  for session, record in pairs(records) do
    local member, strings = string.match(record, '^g(%S+) (.*)$', 13)
    if member and has_arrived(session, record, member) then
      call('HDEL', meta, session .. 'b')
      remove_payloads(strings)
      save(session, string.sub(record, 1, 12) .. '0')
    end
  end
end
