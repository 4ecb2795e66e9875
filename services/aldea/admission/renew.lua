-- Renews one running request: lease extended, checkpoint written, audio booked, and whether it may go on.
--
-- An absent record never ends a request: revocation is a positive record, and what is absent may only not be loaded.
-- What a request has reserved is paid for: it does not end because that used up the rest (reserve.lua).
-- A lease that Redis lost is re-created whatever the count; a request whose final reading is written is left alone,
-- so that a renewal that comes late does not bring its lease back.
--
-- KEYS  1 leases:{id}   2 used:{id}:{month}   3 metered:{request}   4 usage:readings   5 spent:{account}
-- ARGV  1 request id   2 lease's life, ms   3 rank   4 seq   5 audio total, ms   6 total acknowledged before, ms
--       7 reading (JSON)   8 how long to remember what was booked, ms   9 authority   10 project id
--       11 account id, or ''   12 the request's price, micro-dollars per hour
-- The records of authority, project and account are only read, and so not declared (see admit.lua).
-- Returns {verdict, 1 if the lease had to be created, counted}; verdicts as in aldea/admission/grant.py, `counted` as in
-- admit.lua: limits may have been set or lifted since.

local request_id, lease_ms = ARGV[1], tonumber(ARGV[2])
local rank, _, _, reserved = remembered(KEYS[3])
if rank == FINAL then return {'ended', 0, ''} end

local credential = redis.call('HMGET', 'cred:' .. ARGV[9], 'state', 'expires_ms', 'limits')
local project = redis.call('HMGET', 'project:' .. ARGV[10], 'state', 'monthly_audio_ms', 'budget')
local account = ARGV[11] == '' and {} or redis.call('HMGET', 'account:' .. ARGV[11], 'granted', 'owed', 'limits')
local limited = {}
local counted = add_limits(limited, 'key', credential[3])
local budget = project[3] and tonumber(project[3])
limited[#limited + 1] = {
  whose = 'project', id = ARGV[10], audio_ms = project[2] and tonumber(project[2]), budget = budget
}
if budget then counted = counted .. ' ' .. ARGV[10] end
counted = counted .. add_limits(limited, 'account', account[3])

meter(KEYS[3], KEYS[2], KEYS[4], KEYS[5], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]),
  ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[12]), counted)

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local created
for _, one in ipairs(limited) do
  if one.whose == 'project' then
    created = take_lease(one.id, request_id, now_ms, lease_ms)
  elseif one.streams then
    take_lease(one.id, request_id, now_ms, lease_ms)
  end
end

local verdict = 'ok'
if credential[1] and credential[1] ~= 'active' then
  verdict = 'revoked'
elseif credential[2] and credential[2] ~= '' and tonumber(credential[2]) <= now_ms then
  verdict = 'expired'
elseif project[1] and project[1] ~= 'active' then
  verdict = 'suspended'
elseif not reserved or tonumber(ARGV[5]) >= reserved then
  local month = string.match(KEYS[2], '%d+$')
  for _, one in ipairs(limited) do
    local reason = used_up(one, month)
    if reason then
      verdict = one.whose .. ' ' .. reason
      break
    end
  end
  if verdict == 'ok' and spent_up(ARGV[11], account[1], account[2]) then verdict = 'balance' end
end
return {verdict, created, counted}
