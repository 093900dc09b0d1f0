-- For scripts that expect a queue to be there: returns -1 if there is none, and -5 KEY if the key is foreign.
include 'open'
if call('EXISTS', meta) == 0 then return -1 end
if not packed then return {-5, meta} end
