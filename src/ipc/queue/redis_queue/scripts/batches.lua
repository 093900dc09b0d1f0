-- Batches: the elements of the list `items` of a queue without tasks. A batch has items that were put together: how many,
-- the length of all their payloads, where these begin in a string, and its name, empty if they are in the batch; then
-- the length of each payload; then the payloads, unless they are in a string.
local header = '<I2I4I4Bc0'

-- Returns a batch of the next `count` items of a batch behind the first `taken` ones, which have `skipped` bytes, and the
-- length of their payloads.
local function part(batch, taken, skipped, count)
  local all, _, start, name, at = struct.unpack(header, batch)
  local length, lengths = 0, at + 4 * taken
  for i = 0, count - 1 do length = length + struct.unpack('<I4', batch, lengths + 4 * i) end
  local payloads = at + 4 * all + skipped
  return struct.pack(header, count, length, start + skipped, #name, name)
    .. string.sub(batch, lengths, lengths + 4 * count - 1)
    .. (name == '' and string.sub(batch, payloads, payloads + length - 1) or ''), length
end
