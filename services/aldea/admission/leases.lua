-- Leases of running requests: of the project, and of whatever else limits how many run.

-- Takes or extends a request's lease there; 1 if it is new.
local function take_lease(id, request_id, now_ms, lease_ms)
  local leases = 'leases:' .. id
  local created = redis.call('ZADD', leases, now_ms + lease_ms, request_id)
  if redis.call('PTTL', leases) < lease_ms then
    redis.call('PEXPIRE', leases, lease_ms)
    -- Once in a millisecond is enough.
    redis.call('ZREMRANGEBYSCORE', leases, '-inf', now_ms)
  end
  return created
end

