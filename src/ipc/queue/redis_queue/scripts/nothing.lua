-- Answers a get or a lease that finds nothing: `is_over` tells whether nothing can come any more.
getting = register(getting, is_over and 0 or waits, registered)
local answer = is_over and -3 or 0
must('HSET', meta, 'state', struct.pack(format, STATE), session, request .. answer)
return answer
