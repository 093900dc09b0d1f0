-- For those that may meet a foreign key. The first argument is the layout that is known.
local packed = call('TYPE', meta).ok == 'hash' and call('HGET', meta, 'v') == ARGV[1] and call('HGET', meta, 'state')
