-- Takes rights away, or, if they contain an x, removes the process with its sessions. -> 1 if the queue has ended
-- MEMBER RIGHTS
include 'head'
include 'packed'
include 'state'
include 'members'
include 'abandon'
local member, rights = ARGV[1], ARGV[2]
call('HDEL', meta, '')
if not packed then return 1 end
if not string.find(rights, 'x') then
  lose(member, rights)
  save()
  return 0
end
lose(member, 'pg')
abandon(member, nil)
forget_sessions(process_of(member))
return remove(member) and 1 or 0
