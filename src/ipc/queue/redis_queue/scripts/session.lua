-- Repeatable requests: a session numbers its requests, in twelve digits, and its field of meta has the number of the last
-- one with its answer. The first arguments are the session, the number, and the process. A request that arrives after later
-- ones is repeated too: its first connection was lost, and with it some time.
local session, request, member = unpack(ARGV, 1, 3)
local packed, record, rights = unpack(call('HMGET', meta, 'state', session, 'm:' .. member))
local is_repeated = record and string.sub(record, 1, 12) >= request
