-- Settles a session's last plain get, whose answer is no longer needed: deletes what it got, and records `answer` instead.
local function settle(session, record, strings, answer)
  call('HDEL', meta, session .. 'b')
  remove_payloads(strings)
  save(session, string.sub(record, 1, 12) .. answer)
end
