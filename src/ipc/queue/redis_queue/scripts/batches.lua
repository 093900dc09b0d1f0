-- Batches: the elements of the list `items` of a queue without tasks. A batch has items that were put together: how many,
-- the length of all their payloads, where these begin in a string, and its name, empty if they are in the batch; then
-- the length of each payload; then the payloads, unless they are in a string.
local header = '<I2I4I4Bc0'
