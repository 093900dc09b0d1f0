-- Returns the number of tasks that are in the queue or leased. The field with an empty name is not one.
local function unfinished()
  return call('HLEN', queue .. 'items') - 1 - call('LLEN', queue .. 'dead')
end
