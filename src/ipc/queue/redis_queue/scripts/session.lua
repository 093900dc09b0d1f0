-- Repeatable requests: a session numbers its requests, in twelve digits, and its field of meta has the number of the last
-- one with its answer. The first arguments are the session and the number. A request that arrives after later ones is
-- repeated too: its first connection was lost, and with it some time.
local session, request = ARGV[1], ARGV[2]
local packed, record = call('HGET', meta, 'state'), call('HGET', meta, session)
local is_repeated = record and string.sub(record, 1, 12) >= request
