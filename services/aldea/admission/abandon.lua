-- Takes back an admission whose response never came: if it happened, its lease is released and its reading closed.
--
-- KEYS  1 usage:readings
-- ARGV  1 request id   2 closing reading: a JSON object without project_id, key_id and tags
--       3 the request's own tags: a JSON array   4 tags that a reading has at most   5 sha256 of the credential,
--       whose record is only read, and so not declared (see admit.lua)
-- Returns 1 if there was something to take back.

local credential = redis.call('HMGET', 'cred:' .. ARGV[5], 'project_id', 'key_id', 'parent', 'tags', 'limits')
local project_id, key_id, parent, tags = credential[1], credential[2], credential[3], credential[4]
if not (project_id and key_id) then return 0 end
if not redis.call('ZSCORE', 'leases:' .. project_id, ARGV[1]) then return 0 end
local of_key = credential[5]
if parent and parent ~= '' then
  local record = redis.call('HMGET', 'cred:' .. parent, 'tags', 'limits')
  tags, of_key = record[1], record[2]
end
redis.call('XADD', KEYS[1], '*', 'r',
  '{"project_id":"' .. project_id .. '","key_id":"' .. key_id ..
  '","tags":' .. united(tags, ARGV[3], tonumber(ARGV[4])) .. ',' .. string.sub(ARGV[2], 2))
local limited = {}
add_limits(limited, 'key', of_key)
local account_id = redis.call('HGET', 'project:' .. project_id, 'account_id')
if account_id then add_limits(limited, 'account', redis.call('HGET', 'account:' .. account_id, 'limits')) end
for _, one in ipairs(limited) do redis.call('ZREM', 'leases:' .. one.id, ARGV[1]) end
-- Last: as long as the lease is there, it is tried again.
redis.call('ZREM', 'leases:' .. project_id, ARGV[1])
return 1
