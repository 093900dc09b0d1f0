-- Deletes a queue with everything in it. VERSION -> 1, or -5 KEY if it is foreign
include 'head'
include 'ours'
include 'state'
include 'members'
delete_queue()
return 1
