-- MEMBER RIGHTS TTL -> 1
include 'head'
include 'packed'
include 'state'
include 'members'
if not packed then return -1 end
enter(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return 1
