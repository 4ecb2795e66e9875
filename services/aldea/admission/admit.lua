-- Admits one request or says why not: one atomic step, in Redis' own time, with nothing written for a refusal.
--
-- Order: credential -> project -> scope -> request rate -> quota -> balance -> concurrency; then
-- the lease and the opening reading.
-- A request id that holds a lease already is admitted again without being counted: the caller lost our first response.
--
-- KEYS  1 usage:readings
-- ARGV  1 request id   2 sha256 of the credential   3 scope it needs   4 lease's life, ms   5 month, YYYYMM
--       6 opening reading: a JSON object without project_id, key_id and tags, which are known only here
--       7 the request's own tags: a JSON array   8 tags that a reading has at most   9 service   10 model, or ''
-- Names and record shapes: aldea/redis/schema.py. The project's keys follow from the credential's record and are not
-- declared, so this needs a Redis that is not sharded. The records are not declared either: Redis takes a declared key
-- for one that is written, and a proxy's user may only read them.
--
-- Returns {'admitted', project_id, key_id, authority, expires_ms, requests_per_minute, tags, account_id, plan, prices,
-- prices of the model, now_us}: `authority` is the hash of the credential whose revocation ends the request (a token's
-- parent), `expires_ms` the earlier end of both, `tags` are those of the key, as its record has them, the prices are
-- schedules as in aldea/redis/prices.py; or {'refused', reason, number, subject, more, now_us}: the credential's hash or the
-- project's id that may start nothing now, '' where the next request may be admitted.

local request_id, sha256, scope = ARGV[1], ARGV[2], ARGV[3]
local lease_ms, month, opening = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local brought_tags, most_tags = ARGV[7], tonumber(ARGV[8])

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)

local function refused(reason, number, subject, more)
  return {'refused', reason, number or 0, subject or '', more or 0, now_us}
end

-- What is absent may only be not loaded yet.
local function absent(reason, subject)
  if redis.call('EXISTS', 'keys:loaded') == 1 then return refused(reason, 0, subject) end
  return refused('loading')
end

local function expired(expires_ms)
  return expires_ms and expires_ms ~= '' and tonumber(expires_ms) <= now_ms
end

local function limit(text)
  return text and text ~= '' and tonumber(text) or nil
end

local credential = redis.call('HMGET', 'cred:' .. sha256,
  'state', 'project_id', 'key_id', 'scopes', 'expires_ms', 'parent', 'tags')
local state, project_id, key_id = credential[1], credential[2], credential[3]
local scopes, expires_ms, parent, tags = credential[4], credential[5], credential[6], credential[7]
if not (state and project_id and key_id) then return absent('unknown') end
if state ~= 'active' then return refused('revoked', 0, sha256) end
if expired(expires_ms) then return refused('expired', 0, sha256) end

local authority = sha256
if parent and parent ~= '' then
  authority = parent
  local record = redis.call('HMGET', 'cred:' .. parent, 'state', 'expires_ms', 'tags')
  if not record[1] then return absent('unknown', parent) end
  if record[1] ~= 'active' then return refused('revoked', 0, parent) end
  if expired(record[2]) then return refused('expired', 0, parent) end
  local ends = limit(record[2])
  if ends and ends < (limit(expires_ms) or math.huge) then expires_ms = record[2] end
  tags = record[3]
end

local project = redis.call('HMGET', 'project:' .. project_id,
  'state', 'requests_per_minute', 'concurrent_streams', 'monthly_audio_ms', 'account_id')
if not project[1] then return refused('loading') end
if project[1] ~= 'active' then return refused('suspended', 0, project_id) end
local per_minute, concurrent, monthly = limit(project[2]), limit(project[3]), limit(project[4])
if not string.find(' ' .. (scopes or '') .. ' ', ' ' .. scope .. ' ', 1, true) then return refused('scope') end

-- A release before accounts wrote the record of a project that names none.
local account_id, plan, granted, owed, prices = project[5] or '', '', '', '', {}
if account_id ~= '' then
  local account = redis.call('HMGET', 'account:' .. account_id, 'plan', 'granted', 'owed')
  if not account[1] then return refused('loading') end
  plan, granted, owed = account[1], account[2], account[3]
  prices = redis.call('HMGET', 'prices:' .. plan, ARGV[9], ARGV[9] .. ' ' .. ARGV[10])
end

local leases = 'leases:' .. project_id
local admitted = {
  'admitted', project_id, key_id, authority, expires_ms or '', project[2] or '', tags or '', account_id, plan,
  prices[1] or '', prices[2] or '', now_us
}
if redis.call('ZSCORE', leases, request_id) then return admitted end

-- GCRA; aldea/admission/gcra.py is the same in Python and explains it.
local rate, tat = 'rate:' .. project_id, nil
if per_minute then
  if per_minute <= 0 then return refused('rate', 60000000, project_id) end
  local interval = math.max(1, math.floor(60000000 / per_minute))
  local tolerance = math.min(per_minute, math.max(10, math.ceil(per_minute / 6))) * interval
  tat = math.min(math.max(tonumber(redis.call('GET', rate) or 0), now_us), now_us + tolerance) + interval
  local wait = tat - tolerance - now_us
  if wait > 0 then return refused('rate', wait) end
end

if monthly and tonumber(redis.call('GET', 'used:' .. project_id .. ':' .. month) or 0) >= monthly then
  return refused('quota', 0, project_id)
end

local balance, limit_owed = spent_up(account_id, granted, owed)
if balance then return refused('balance', balance, project_id, limit_owed) end

if concurrent and redis.call('ZCOUNT', leases, '(' .. string.format('%.0f', now_ms), '+inf') >= concurrent then
  return refused('concurrency', concurrent)
end

-- Admitted: only from here on is anything written. First the reading: a script that fails at it takes no lease along.
redis.call('XADD', KEYS[1], '*', 'r',
  '{"project_id":"' .. project_id .. '","key_id":"' .. key_id ..
  '","tags":' .. united(tags, brought_tags, most_tags) .. ',' .. string.sub(opening, 2))
if tat then
  redis.call('SET', rate, string.format('%.0f', tat), 'PX', math.ceil((tat - now_us) / 1000) + 1)
end
redis.call('ZADD', leases, string.format('%.0f', now_ms + lease_ms), request_id)
if redis.call('PTTL', leases) < lease_ms then
  redis.call('PEXPIRE', leases, lease_ms)
  -- Once in a millisecond is enough.
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', string.format('%.0f', now_ms))
end
return admitted
