-- Limits of a request's key, project and account, the narrowest first; shared by admit.lua, renew.lua, reserve.lua and abandon.lua.
--
-- The record of a key or an account has them in one text, '' for none: whose counts they are, requests a minute,
-- concurrent streams, audio of a month in ms, budget of a month in micro-dollars; '-' is no limit. What is counted of a
-- month besides the project's audio is in `spent:{id}:{month}`, and only where something is limited.

-- Appends what a record's text limits, if anything. Returns '' or ' ' and the id under which more is counted.
local function add_limits(limited, whose, text)
  if not text or text == '' then return '' end
  local id, per_minute, streams, audio_ms, budget = string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  local one = {
    whose = whose, id = id, per_minute = tonumber(per_minute), streams = tonumber(streams),
    audio_ms = tonumber(audio_ms), budget = tonumber(budget)
  }
  limited[#limited + 1] = one
  return (one.streams or one.audio_ms or one.budget) and ' ' .. id or ''
end

-- What is used up of a month: nothing, or 'quota' or 'budget', what was used and what is allowed.
-- ahead_ms, ahead_micros: what is looked at as used already, if anything
local function used_up(one, month, ahead_ms, ahead_micros)
  ahead_ms, ahead_micros = ahead_ms or 0, ahead_micros or 0
  if one.whose == 'project' then
    local used = one.audio_ms and tonumber(redis.call('GET', 'used:' .. one.id .. ':' .. month) or 0)
    if used and used + ahead_ms >= one.audio_ms then return 'quota', used, one.audio_ms end
    if not one.budget then return nil end
  elseif not (one.audio_ms or one.budget) then
    return nil
  end
  local found = redis.call('HMGET', 'spent:' .. one.id .. ':' .. month, 'audio_ms', 'micros')
  local audio_ms, micros = tonumber(found[1] or 0), tonumber(found[2] or 0)
  if one.whose ~= 'project' and one.audio_ms and audio_ms + ahead_ms >= one.audio_ms then
    return 'quota', audio_ms, one.audio_ms
  end
  if one.budget and micros + ahead_micros >= one.budget then return 'budget', micros, one.budget end
end

