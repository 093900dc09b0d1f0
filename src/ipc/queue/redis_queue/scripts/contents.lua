-- Returns how many items can be got, are unfinished, and are dead letters. `fresh` have never been got.
local function contents(kind, fresh)
  if kind == 'plain' then return fresh, fresh, 0 end
  return fresh + call('LLEN', queue .. 'back'), unfinished(), call('LLEN', queue .. 'dead')
end
