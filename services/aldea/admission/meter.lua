-- Writes a reading to the usage stream and books the audio that it adds, and its charge; shared by renew.lua and finish.lua.
--
-- What was booked for a request is remembered beside it, with the (rank, seq) of the reading it came from, and changed
-- in the same atomic step. So a reading that comes twice, late or out of order books nothing, and one whose total is
-- lower than the last (a correction) takes back. Had the caller alone kept the last total, a response lost on the way
-- would be booked twice; the caller's figure (`acknowledged`) serves only where Redis remembers nothing, as after it
-- was emptied.
--
-- A recorded file may have been reserved before (reserve.lua). Until its final reading no less than the reservation
-- stays booked; the final takes the difference back.
--
-- Returns whether the reading was newer than what is remembered (else nothing was written).

-- Counts of a month outlive it by another one, for those who look back.
local USED_SECONDS = 62 * 24 * 3600

local FINAL = 2

-- Rank, seq, what is booked, and the part of it that a running request has reserved, if any.
local function remembered(metered)
  local text = redis.call('GET', metered)
  if not text then return nil end
  local rank, seq, total, reserved = string.match(text, '^(%d+) (%d+) (%d+) ?(%d*)$')
  return tonumber(rank), tonumber(seq), tonumber(total), tonumber(reserved)
end

-- Adds to everything that counts the request; less than nothing takes back.
local function book(used, spent, added, micros, counted)
  -- The month's first; one that key_sync made has an end already.
  if redis.call('INCRBY', used, added) == added then redis.call('EXPIRE', used, USED_SECONDS) end
  if micros ~= 0 then redis.call('HINCRBY', spent, 'micros', micros) end
  for id in string.gmatch(counted, '%S+') do
    local of_month = 'spent:' .. id .. ':' .. string.match(used, '%d+$')
    local sum = redis.call('HINCRBY', of_month, 'audio_ms', added)
    if micros ~= 0 then redis.call('HINCRBY', of_month, 'micros', micros) end
    if sum == added then redis.call('EXPIRE', of_month, USED_SECONDS) end
  end
end

-- spent: the account's charges   micros_per_hour: the request's own price, 0 if it has none
-- counted: the ids under which more is counted of the month, as limits.lua names them
local function meter(
  metered, used, stream, spent, rank, seq, total, acknowledged, reading, memory_ms, micros_per_hour, counted)
  local last_rank, last_seq, last_total, reserved = remembered(metered)
  if last_rank and (rank < last_rank or (rank == last_rank and seq <= last_seq)) then return false end
  -- First of all, since a script that fails half-way is not rolled back: what Redis does not take now (a user without the
  -- right to it, say) must not be remembered as written. Written twice it changes nothing.
  redis.call('XADD', stream, '*', 'r', reading)
  local kept = ''
  if reserved and rank == FINAL then
    redis.call('HDEL', 'reserved', string.match(metered, '^metered:(.*)$'))
  elseif reserved then
    total, kept = math.max(total, reserved), string.format(' %.0f', reserved)
  end
  local added = total - (last_total or acknowledged)
  if added ~= 0 then
    -- The difference of the charges, not the charge of the difference: the sum is rounded once, as the bill is.
    local micros = charge(total, micros_per_hour) - charge(last_total or acknowledged, micros_per_hour)
    book(used, spent, added, micros, counted)
  end
  redis.call('SET', metered, string.format('%.0f %.0f %.0f', rank, seq, total) .. kept, 'PX', memory_ms)
  return true
end

