-- MEMBER RIGHTS TTL -> 1
if not packed then return -1 end
enter(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return 1
