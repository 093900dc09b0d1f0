-- Wakes those that wait for room: one for each place that has become free, all if some of them wait for bytes.
local function wake_putting(places)
  if short == 1 then short, places = 0, 1000 end
  putting = wake('room', putting, places)
end
