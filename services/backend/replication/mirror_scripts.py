"""The Lua scripts that write credentials and projects to Redis: each record whole, no later one over an earlier."""

from typing import Final

from aldea.redis.link import Script

# Two writers may arrive in the wrong order (a change and a reconciliation that read just before it). Each record
# carries the revision of its row and a digest of what it says. It is written over an earlier revision; over the same
# one only where an earlier release wrote that (without a digest, or with fewer fields than ours); and over whatever
# the writer has seen and looked into: `instead`. Absent fields are removed, so that nothing of another record shows
# through. Returns how many were written, and what is stored in place of each that was not: its place in the
# list, from 1, its revision and its digest.
PUT: Final = Script(
    """
local written, others = 0, {}
for i, name in ipairs(KEYS) do
    local record = cjson.decode(ARGV[i])
    local found = redis.call('HMGET', name, 'revision', 'digest')
    local revision, digest = tonumber(found[1] or '-1'), found[2] or ''
    local flat = {'revision', string.format('%d', record.revision), 'digest', record.digest}
    for field, value in pairs(record.fields) do
        flat[#flat + 1] = field
        flat[#flat + 1] = value
    end
    local seen = string.format('%d', revision) .. ' ' .. digest
    local stands = revision == record.revision and digest == record.digest
    -- Of one revision, the record with more fields is of the later release.
    local surplus = revision == record.revision and redis.call('HLEN', name) - #flat / 2 or 0
    if not stands and (revision < record.revision or record.instead == seen or surplus < 0) then
        redis.call('DEL', name)
        redis.call('HSET', name, unpack(flat))
        if record.until_ms then redis.call('PEXPIREAT', name, string.format('%.0f', record.until_ms)) end
        written = written + 1
    elseif not stands and surplus <= 0 then
        others[#others + 1] = {i, seen}
    end
end
return {written, others}
"""
)
# Which of these records are not stored as they should be: their places in the list, from 1. ARGV: revision, digest and
# count of fields of each. A record of the same revision with more fields is of a later release, and stays.
STALE: Final = Script(
    """
local stale = {}
for i, name in ipairs(KEYS) do
    local found = redis.call('HMGET', name, 'revision', 'digest')
    if found[1] ~= ARGV[3 * i - 2]
            or found[2] ~= ARGV[3 * i - 1] and redis.call('HLEN', name) <= tonumber(ARGV[3 * i]) then
        stale[#stale + 1] = i
    end
end
return stale
"""
)
# Raise counters to at least the given figures; ARGV ends with the time to live.
RAISE: Final = Script(
    """
for i, name in ipairs(KEYS) do
    if tonumber(redis.call('GET', name) or '0') < tonumber(ARGV[i]) then
        redis.call('SET', name, ARGV[i], 'EX', ARGV[#ARGV])
    end
end
return #KEYS
"""
)
# The same for what was spent: micro-dollars and ms of audio of each, then the time to live, 0 for ever.
RAISE_SPENT: Final = Script(
    """
local seconds = tonumber(ARGV[#ARGV])
for i, name in ipairs(KEYS) do
    local found = redis.call('HMGET', name, 'micros', 'audio_ms')
    for j, field in ipairs({'micros', 'audio_ms'}) do
        local figure = ARGV[2 * (i - 1) + j]
        if tonumber(found[j] or '0') < tonumber(figure) then redis.call('HSET', name, field, figure) end
    end
    if seconds > 0 and redis.call('TTL', name) == -1 then redis.call('EXPIRE', name, seconds) end
end
return #KEYS
"""
)
# What was spent, and how often that was lowered. KEYS: two for each, the spend and where its audio is counted: in the
# spend itself (the same key again), or in a project's counter of a month.
SPENT: Final = Script(
    """
local found = {}
for i = 1, #KEYS, 2 do
    local figures = redis.call('HMGET', KEYS[i], 'micros', 'corrected', 'audio_ms')
    local audio_ms = figures[3]
    if KEYS[i + 1] ~= KEYS[i] then audio_ms = redis.call('GET', KEYS[i + 1]) end
    found[#found + 1] = {figures[1] or '0', figures[2] or '0', audio_ms or '0'}
end
return found
"""
)
# Lower what was spent. KEYS as of SPENT. ARGV: the surplus of each in micro-dollars and ms of audio, and how often it
# had been lowered when that was found: of several backends that find the same surplus, one takes it away. Then the time
# to live of what is written of a project's month. Returns how many were lowered.
LOWER_SPENT: Final = Script(
    """
local lowered = 0
for i = 1, #KEYS / 2 do
    local name, counter = KEYS[2 * i - 1], KEYS[2 * i]
    local micros, audio_ms = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
    if (redis.call('HGET', name, 'corrected') or '0') == ARGV[3 * i] then
        if micros > 0 then redis.call('HINCRBY', name, 'micros', -micros) end
        if counter == name then
            if audio_ms > 0 then redis.call('HINCRBY', name, 'audio_ms', -audio_ms) end
        elseif audio_ms > 0 and redis.call('EXISTS', counter) == 1 then
            redis.call('DECRBY', counter, audio_ms)
        end
        redis.call('HINCRBY', name, 'corrected', 1)
        if counter ~= name and redis.call('TTL', name) == -1 then redis.call('EXPIRE', name, ARGV[#ARGV]) end
        lowered = lowered + 1
    end
end
return lowered
"""
)
# Short-lived tokens that are not stored there, in Redis' own time as admission reads it; each vanishes when it expires.
PUT_TOKENS: Final = Script(
    """
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local written = 0
for i, name in ipairs(KEYS) do
    local token = cjson.decode(ARGV[i])
    if token.ttl_ms > 0 and redis.call('EXISTS', name) == 0 then
        local expires_ms = string.format('%.0f', now_ms + token.ttl_ms)
        local flat = {'expires_ms', expires_ms}
        for field, value in pairs(token.fields) do
            flat[#flat + 1] = field
            flat[#flat + 1] = value
        end
        redis.call('HSET', name, unpack(flat))
        redis.call('PEXPIREAT', name, expires_ms)
        written = written + 1
    end
end
return written
"""
)
# Remove records but for tokens, which have lives of their own. Returns how many there were.
REMOVE: Final = Script(
    """
local removed = 0
for _, name in ipairs(KEYS) do
    if redis.call('HGET', name, 'kind') ~= 'token' then removed = removed + redis.call('DEL', name) end
end
return removed
"""
)
