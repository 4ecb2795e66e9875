-- Books a recorded file's estimated audio before it is transcribed, if all of its limits have room for that.
--
-- So files that race for what is left of a limit do not overspend it together. The final reading books what the file
-- really was (meter.lua). A request of which something is booked already is left alone: the caller lost our first
-- response, or its end came before.
--
-- KEYS  1 used:{id}:{month}   2 metered:{request}   3 spent:{account}   4 reserved
-- ARGV  1 request id   2 estimated audio, ms, at least 1   3 how long to remember it, ms   4 authority   5 project id
--       6 account id, or ''   7 the request's price, micro-dollars per hour
--       8 the ids under which it counts besides its project's
-- The records of authority, project and account are only read, and so not declared (see admit.lua); what is absent
-- may only not be loaded, and limits nothing.
-- Returns {'reserved'}, or {'refused', reason, used, allowed, whose, micro-dollars that it would cost} as admit.lua does.

local audio_ms = tonumber(ARGV[2])
if remembered(KEYS[2]) then return {'reserved'} end

local project = redis.call('HMGET', 'project:' .. ARGV[5], 'monthly_audio_ms', 'budget')
local account = ARGV[6] == '' and {} or redis.call('HMGET', 'account:' .. ARGV[6], 'granted', 'owed', 'limits')
local limited = {}
add_limits(limited, 'key', redis.call('HGET', 'cred:' .. ARGV[4], 'limits'))
limited[#limited + 1] = {
  whose = 'project', id = ARGV[5], audio_ms = project[1] and tonumber(project[1]),
  budget = project[2] and tonumber(project[2])
}
add_limits(limited, 'account', account[3])

-- Just before its last millisecond and micro-dollar the limit may not be reached yet: then it has room for all.
local month = string.match(KEYS[1], '%d+$')
local micros = charge(audio_ms, tonumber(ARGV[7]))
local ahead = math.max(0, micros - 1)
for _, one in ipairs(limited) do
  local reason, used, allowed = used_up(one, month, audio_ms - 1, ahead)
  if reason then return {'refused', reason, used, allowed, one.whose, micros} end
end
local balance, owed = spent_up(ARGV[6], account[1], account[2], ahead)
if balance then return {'refused', 'balance', balance, owed, 'account', micros} end

-- What backend/credits/reservations.py reads. First, since a script that fails half-way is not rolled back.
local names = ARGV[5] .. ':' .. month .. ' ' .. ARGV[6]
for id in string.gmatch(ARGV[8], '%S+') do names = names .. ' ' .. id .. ':' .. month end
redis.call('HSET', KEYS[4], ARGV[1], string.format('%.0f %.0f ', audio_ms, micros) .. names)
redis.call('SET', KEYS[2], string.format('0 0 %.0f %.0f', audio_ms, audio_ms), 'PX', tonumber(ARGV[3]))
book(KEYS[1], KEYS[3], audio_ms, micros, ARGV[8])
return {'reserved'}
