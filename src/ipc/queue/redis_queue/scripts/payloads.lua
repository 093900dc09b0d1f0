-- Long payloads are outside the items, because a script hashes each byte that it touches, which takes longer than to send it:
-- in the string `long:NAME`, one after another as they were put. The hash `long` has how many items of each are left.

-- Removes payloads: `strings` is a text with the name of each string, and how many of its items are removed. Begins with a
-- write that needs no memory, or writes nothing.
local function remove_payloads(strings)
  for name, count in string.gmatch(strings, '(%S+) (%d+)') do
    if must('HINCRBY', queue .. 'long', name, -count) == 0 then
      call('HDEL', queue .. 'long', name)
      call('UNLINK', queue .. 'long:' .. name)
    end
  end
end
