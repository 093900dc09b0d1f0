-- Deletes a queue with everything in it. VERSION -> 1, or -5 if it is none of ours
include 'head'
include 'open'
include 'state'
include 'members'
if call('EXISTS', meta) == 0 then return -1 end
if not packed then return {-5, meta} end
delete_queue()
return 1
