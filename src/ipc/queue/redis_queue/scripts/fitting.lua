-- Returns the index of the last one of the arguments from `first` on for which there is room, cut to what has room; how many
-- items these are; their bytes; whether there is room for more items but not for their bytes; and names and counts of their
-- strings.
local function fitting(first, room, free)
  local count, length, is_short = 0, 0, false
  if kind ~= 'plain' then
    local last = first - 1
    while last < #ARGV and count < room and not is_short do
      local longer = length + length_of(ARGV[last + 1])
      is_short = longer > free
      if not is_short then last, count, length = last + 1, count + 1, longer end
    end
    return last, count, length, is_short, strings_of(ARGV, first, count)
  end
  local strings = ''
  for last = first, #ARGV do
    local all, _, start, name, lengths = struct.unpack(header, ARGV[last])
    local some, bytes_of_some = 0, 0
    while some < all and count + some < room and not is_short do
      local longer = bytes_of_some + struct.unpack('<I4', ARGV[last], lengths + 4 * some)
      is_short = length + longer > free
      if not is_short then some, bytes_of_some = some + 1, longer end
    end
    if some > 0 and name ~= '' then strings = strings .. name .. ' ' .. some .. ' ' end
    count, length = count + some, length + bytes_of_some
    if some < all then
      if some > 0 then ARGV[last] = part(ARGV[last], all, start, name, lengths, 0, 0, some) end
      return some > 0 and last or last - 1, count, length, is_short, strings
    end
  end
end
