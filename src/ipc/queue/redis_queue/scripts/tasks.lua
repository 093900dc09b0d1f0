-- The items of a queue of tasks, by number in the hash `items`. A field with an empty name makes the server keep the hash as a
-- table: see VERSION. The last byte of an item is 0 behind its payload, or 1 if that is in a string: then the item is the length
-- of its payload, where it begins, and the name.

local function length_of(item)
  if string.byte(item, -1) == 0 then return #item - 1 end
  return (struct.unpack('<I4', item))
end

-- Returns what is in strings of the first `count` of the items from the index `from` on, as a text with names and counts.
local function strings_of(items, from, count)
  local strings = {}
  for i = from, from + count - 1 do
    if string.byte(items[i], -1) == 1 then strings[#strings + 1] = string.sub(items[i], 9, -2) .. ' 1' end
  end
  return table.concat(strings, ' ')
end
