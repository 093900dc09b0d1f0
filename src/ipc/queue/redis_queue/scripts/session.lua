-- Repeatable requests: a session numbers its requests, in twelve digits, and its field of meta has the number of the last
-- one, and its answer. The first arguments are the session and the number. A request that arrives after a later one counts as
-- repeated too: it was delayed on a lost connection, and has been sent again since.
local session, request = ARGV[1], ARGV[2]
local packed, record = call('HGET', meta, 'state'), call('HGET', meta, session)
local is_repeated = record and string.sub(record, 1, 12) >= request
