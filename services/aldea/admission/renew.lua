-- Renews one running request: lease extended, checkpoint written, audio booked, and whether it may go on.
--
-- An absent record never ends a request: revocation is a positive record, and what is absent may only not be loaded.
-- A lease that Redis lost is re-created whatever the count; a request whose final reading is written is left alone,
-- so that a renewal that comes late does not bring its lease back.
--
-- KEYS  1 leases:{id}   2 used:{id}:{month}   3 metered:{request}   4 usage:readings   5 spent:{account}
-- ARGV  1 request id   2 lease's life, ms   3 rank   4 seq   5 audio total, ms   6 total acknowledged before, ms
--       7 reading (JSON)   8 how long to remember what was booked, ms   9 authority   10 project id
--       11 account id, or ''   12 the request's price, micro-dollars per hour
-- The records of authority, project and account are only read, and so not declared (see admit.lua).
-- Returns {verdict, 1 if the lease had to be created}; verdicts as in aldea/admission/grant.py.

local request_id, lease_ms = ARGV[1], tonumber(ARGV[2])
local FINAL = 2

if remembered(KEYS[3]) == FINAL then return {'ended', 0} end
meter(KEYS[3], KEYS[2], KEYS[4], KEYS[5], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]),
  ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[12]))

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local created = redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + lease_ms), request_id)
if redis.call('PTTL', KEYS[1]) < lease_ms then redis.call('PEXPIRE', KEYS[1], lease_ms) end

local verdict = 'ok'
local credential = redis.call('HMGET', 'cred:' .. ARGV[9], 'state', 'expires_ms')
local project = redis.call('HMGET', 'project:' .. ARGV[10], 'state', 'monthly_audio_ms')
local account = ARGV[11] == '' and {} or redis.call('HMGET', 'account:' .. ARGV[11], 'granted', 'owed')
if credential[1] and credential[1] ~= 'active' then
  verdict = 'revoked'
elseif credential[2] and credential[2] ~= '' and tonumber(credential[2]) <= now_ms then
  verdict = 'expired'
elseif project[1] and project[1] ~= 'active' then
  verdict = 'suspended'
elseif project[2] and project[2] ~= '' and tonumber(redis.call('GET', KEYS[2]) or 0) >= tonumber(project[2]) then
  verdict = 'quota'
elseif spent_up(ARGV[11], account[1], account[2]) then
  verdict = 'balance'
end
return {verdict, created}
