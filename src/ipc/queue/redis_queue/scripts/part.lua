-- Returns a batch of the `count` items of `batch` that follow its first `taken` ones, whose payloads have `skipped` bytes; and
-- the length of its payloads. `all`, `start` and `name` are from the header of `batch`; `at` is where the header ends.
local function part(batch, all, start, name, at, taken, skipped, count)
  local length, lengths = 0, at + 4 * taken
  for i = 0, count - 1 do length = length + struct.unpack('<I4', batch, lengths + 4 * i) end
  local payloads = at + 4 * all + skipped
  return struct.pack(header, count, length, start + skipped, #name, name)
    .. string.sub(batch, lengths, lengths + 4 * count - 1)
    .. (name == '' and string.sub(batch, payloads, payloads + length - 1) or ''), length
end
