-- Money in Redis, in whole micro-dollars; a double holds all of these exactly (up to 2^53).
--
-- `account:{id}` has what the billing account was granted (`granted`, '' if its ledger is empty) and how far below zero
-- its balance may go (`owed`, '' for any debt); the backend writes it. `spent:{id}` has the charges (`micros`), which
-- renewals and ends add to.

-- The charge for audio, rounded half up: charge_micros of migration 0008 and cost_micros of backend/usage/money.py.
-- Whole hours apart, since milliseconds times a price may be beyond 2^53.
local function charge(audio_ms, micros_per_hour)
  local rest = audio_ms % 3600000
  return (audio_ms - rest) / 3600000 * micros_per_hour + math.floor((rest * micros_per_hour + 1800000) / 3600000)
end

-- The account's balance if it pays for no further request, and its credit limit; nothing if it pays.
-- ahead: micro-dollars that are looked at as spent already, if any
local function spent_up(account_id, granted, owed, ahead)
  if not owed or owed == '' then return nil end
  local spent = tonumber(redis.call('HGET', 'spent:' .. account_id, 'micros') or 0)
  -- What was never credited or charged anything is not refused.
  if granted == '' and spent == 0 then return nil end
  local balance = (tonumber(granted) or 0) - spent
  if balance - (ahead or 0) > -tonumber(owed) then return nil end
  return balance, tonumber(owed)
end

