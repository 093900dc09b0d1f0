-- Settles what the gets of some sessions took: those for which `has_arrived` says so.
local function settle_sessions(records, has_arrived)
  for session, record in pairs(records) do
    local since, _, to, has_long = taken(record)
    if since and has_arrived(session, record) then
      settle(since, to, has_long)
      save(session, string.sub(record, 1, 12) .. '0')
    end
  end
end
