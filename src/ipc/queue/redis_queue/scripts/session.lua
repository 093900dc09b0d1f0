-- Repeatable requests: a session numbers its requests, in twelve digits, and its field of meta has the number of the last
-- one with its answer. The first arguments are the session, the number, and the process.
local session, request, member = unpack(ARGV, 1, 3)
local packed, record, rights = unpack(call('HMGET', meta, 'state', session, 'm:' .. member))
local is_repeated = record and string.sub(record, 1, 12) == request
