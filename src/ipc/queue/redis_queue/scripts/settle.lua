-- Settles the last plain get of a session: its answer is not needed any more. Writes another one in its place.
local function settle(session, record, strings, answer)
  call('HDEL', meta, session .. 'b')
  remove_payloads(strings)
  save(session, string.sub(record, 1, 12) .. answer)
end
