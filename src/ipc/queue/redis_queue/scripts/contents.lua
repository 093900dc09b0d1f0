-- Returns how many items can be got, are unfinished, and are dead letters.
local function contents()
  if kind == 'plain' then return put - got, put - got, 0 end
  return put - got + back, unfinished(), call('LLEN', queue .. 'dead')
end
