-- Writes the state, and other fields of meta.
local function save(...)
  must('HSET', meta, 'state', struct.pack(format, STATE), ...)
end
