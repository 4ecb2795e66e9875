-- Admits one request or says why not: one atomic step, in Redis' own time, with nothing written for a refusal.
--
-- Order: credential -> project -> scope -> request rate -> quota and budget -> balance -> concurrency; then the lease and
-- the opening reading. What is limited: the key, the project, the account, each at each of these steps.
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
-- Returns {'admitted', project_id, key_id, authority, expires_ms, tags, account_id, plan, prices, prices of the model,
-- counted, limits, now_us}: `authority` is the hash of the credential whose revocation ends the request (a token's
-- parent), `expires_ms` the earlier end of both, `tags` are those of the key, as its record has them, the prices are
-- schedules as in aldea/redis/prices.py, `counted` are the ids under which the request counts besides its project's,
-- `limits` as in aldea/admission/rate_limits.py; or {'refused', reason, number, subject, more, whose, limits, now_us}: the
-- credential's hash or the project's id that may start nothing now, '' where the next request may be admitted; what was
-- used and what is allowed, and whose limit it is.

local request_id, sha256, scope = ARGV[1], ARGV[2], ARGV[3]
local lease_ms, month, opening = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local brought_tags, most_tags = ARGV[7], tonumber(ARGV[8])

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)

local limits = ''

local function refused(reason, number, subject, more, whose)
  return {'refused', reason, number or 0, subject or '', more or 0, whose or '', limits, now_us}
end

-- What is absent may only be not loaded yet.
local function absent(reason, subject)
  if redis.call('EXISTS', 'keys:loaded') == 1 then return refused(reason, 0, subject) end
  return refused('loading')
end

local credential = redis.call('HMGET', 'cred:' .. sha256,
  'state', 'project_id', 'key_id', 'scopes', 'expires_ms', 'parent', 'tags', 'limits')
local state, project_id, key_id = credential[1], credential[2], credential[3]
local scopes, expires_ms, parent, tags, of_key = credential[4], credential[5], credential[6], credential[7], credential[8]
if not (state and project_id and key_id) then return absent('unknown') end
if state ~= 'active' then return refused('revoked', 0, sha256) end
-- What is absent or empty is no number: nil.
local ends = tonumber(expires_ms)
if ends and ends <= now_ms then return refused('expired', 0, sha256) end

local authority = sha256
if parent and parent ~= '' then
  authority = parent
  local record = redis.call('HMGET', 'cred:' .. parent, 'state', 'expires_ms', 'tags', 'limits')
  if not record[1] then return absent('unknown', parent) end
  if record[1] ~= 'active' then return refused('revoked', 0, parent) end
  local parent_ends = tonumber(record[2])
  if parent_ends and parent_ends <= now_ms then return refused('expired', 0, parent) end
  if parent_ends and parent_ends < (ends or math.huge) then expires_ms = record[2] end
  tags, of_key = record[3], record[4]
end

local project = redis.call('HMGET', 'project:' .. project_id,
  'state', 'requests_per_minute', 'concurrent_streams', 'monthly_audio_ms', 'account_id', 'budget')
if not project[1] then return refused('loading') end
if project[1] ~= 'active' then return refused('suspended', 0, project_id) end
if not string.find(' ' .. (scopes or '') .. ' ', ' ' .. scope .. ' ', 1, true) then return refused('scope') end

-- A release before accounts wrote the record of a project that names none.
local account_id, plan, granted, owed, prices, of_account = project[5] or '', '', '', '', {}, nil
if account_id ~= '' then
  local account = redis.call('HMGET', 'account:' .. account_id, 'plan', 'granted', 'owed', 'limits')
  if not account[1] then return refused('loading') end
  plan, granted, owed, of_account = account[1], account[2], account[3], account[4]
  if ARGV[10] == '' then
    prices[1] = redis.call('HGET', 'prices:' .. plan, ARGV[9])
  else
    prices = redis.call('HMGET', 'prices:' .. plan, ARGV[9], ARGV[9] .. ' ' .. ARGV[10])
  end
end

-- Only what is limited: most requests go through the steps below with an empty list.
local limited = {}
local counted = add_limits(limited, 'key', of_key)
local per_minute, streams, audio_ms, budget =
  tonumber(project[2]), tonumber(project[3]), tonumber(project[4]), tonumber(project[6])
if per_minute or streams or audio_ms or budget then
  limited[#limited + 1] = {
    whose = 'project', id = project_id, per_minute = per_minute, streams = streams, audio_ms = audio_ms, budget = budget
  }
  if budget then counted = counted .. ' ' .. project_id end
end
counted = counted .. add_limits(limited, 'account', of_account)

local function admitted()
  return {
    'admitted', project_id, key_id, authority, expires_ms or '', tags or '', account_id, plan,
    prices[1] or '', prices[2] or '', counted, limits, now_us
  }
end
if redis.call('ZSCORE', 'leases:' .. project_id, request_id) then return admitted() end

-- What a refusal is of: all that depends on the key, or on the project.
local function subject(one) return one.whose == 'key' and authority or project_id end

-- GCRA; aldea/admission/gcra.py is the same in Python and explains it.
for _, one in ipairs(limited) do
  local per_minute = one.per_minute
  if per_minute then
    if per_minute <= 0 then return refused('rate', 60000000, subject(one), per_minute, one.whose) end
    local interval = math.max(1, math.floor(60000000 / per_minute))
    local tolerance = math.min(per_minute, math.max(10, math.ceil(per_minute / 6))) * interval
    local kept = math.max(tonumber(redis.call('GET', 'rate:' .. one.id) or 0), now_us)
    one.tat = math.min(kept, now_us + tolerance) + interval
    local wait = one.tat - tolerance - now_us
    local left, until_full = math.floor(-wait / interval), one.tat - now_us
    if wait > 0 then left, until_full = 0, wait end
    limits = limits .. string.format('%s %d %d %d ', one.whose, per_minute, left, math.ceil(until_full / 1000000))
    if wait > 0 then return refused('rate', wait, '', per_minute, one.whose) end
  end
end

for _, one in ipairs(limited) do
  local reason, used, allowed = used_up(one, month)
  if reason then return refused(reason, used, subject(one), allowed, one.whose) end
end

local balance, limit_owed = spent_up(account_id, granted, owed)
if balance then return refused('balance', balance, project_id, limit_owed, 'account') end

for _, one in ipairs(limited) do
  if one.streams then
    -- A lease ends with its last millisecond, and times are whole milliseconds.
    local left = one.streams - redis.call('ZCOUNT', 'leases:' .. one.id, now_ms + 1, '+inf') - 1
    limits = limits .. string.format('%s-streams %d %d - ', one.whose, one.streams, left < 0 and 0 or left)
    if left < 0 then return refused('concurrency', one.streams, '', 0, one.whose) end
  end
end

-- Admitted: only from here on is anything written. First the reading: a script that fails at it takes no lease along.
redis.call('XADD', KEYS[1], '*', 'r',
  '{"project_id":"' .. project_id .. '","key_id":"' .. key_id ..
  '","tags":' .. united(tags, brought_tags, most_tags) .. ',' .. string.sub(opening, 2))
for _, one in ipairs(limited) do
  if one.tat then
    redis.call('SET', 'rate:' .. one.id, one.tat, 'PX', math.ceil((one.tat - now_us) / 1000) + 1)
  end
  if one.streams and one.id ~= project_id then take_lease(one.id, request_id, now_ms, lease_ms) end
end
take_lease(project_id, request_id, now_ms, lease_ms)
return admitted()
