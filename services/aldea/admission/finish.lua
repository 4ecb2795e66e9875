-- Ends one request: lease released, final reading written, audio booked; a repetition changes nothing.
--
-- KEYS  1 leases:{id}   2 used:{id}:{month}   3 metered:{request}   4 usage:readings   5 spent:{account}
-- ARGV  1 request id   2 rank   3 seq   4 audio total, ms   5 total acknowledged before, ms   6 reading (JSON)
--       7 how long to remember what was booked, ms   8 the request's price, micro-dollars per hour
--       9 the ids under which it counts besides its project's
-- Returns 1 if the reading was written, 0 if it is stored already.

redis.call('ZREM', KEYS[1], ARGV[1])
for id in string.gmatch(ARGV[9], '%S+') do redis.call('ZREM', 'leases:' .. id, ARGV[1]) end
local written = meter(KEYS[3], KEYS[2], KEYS[4], KEYS[5], tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9])
return written and 1 or 0
