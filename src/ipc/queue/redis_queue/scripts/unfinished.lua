-- Returns the number of tasks that are in the queue or leased.
local function unfinished()
  return call('HLEN', queue .. 'items') - 1 - call('LLEN', queue .. 'dead')
end
