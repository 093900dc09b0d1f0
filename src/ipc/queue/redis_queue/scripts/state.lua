-- The state of a queue, in one field of meta: it is read and written as fast as a single number. STATE stands for the names
-- of its parts; a function for all of them would cost more than what it does.

-- The kind is 'plain' or 'tasks'. `put` and `got` are the numbers of the next item to be put, and to be got for the first
-- time. `taken` and `skipped` are how many items, and bytes, of the first batch of a plain queue were got. `back` is how
-- many tasks were returned and can be got. `getting`, `putting` and `joining` are how many clients are registered as
-- waiting; `short` is 1 if some of the putting wait for bytes. `producers` and `consumers` are -1 before the first one has
-- come.
local format = '<c5dddddddddddddd'
local STATE
if packed then STATE = struct.unpack(format, packed) end
