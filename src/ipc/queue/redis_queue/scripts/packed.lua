local packed = call('HGET', meta, 'state')
