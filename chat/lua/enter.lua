-- A turn enters, or waits (R0.5 12-14): counts its rate, takes its session's lock and its agent's slot, reads the history.
-- KEYS: 1 rate, 2 agent ("" = no slot needed), 3 session ("" = stateless), 4 history
-- ARGV: 1 execution, 2 policy, 3 lease ms, 4 waiter ms, 5 arrival ("0" = newcomer), 6 max_parallel, 7 max_queued, 8 most waiting turns,
--       9 rpm, 10 tpm, 11 tokens, 12 known version, 13 history ttl s, 14 bell, 15 patience ms
-- Answers {word, window, requests, tokens, ms left, ...}; the words are those of chat.leases_redis.
-- A waiter's place is its arrival in `:line`; it asks again every second, or it is forgotten by `:alive`.
local me, policy, lease_ms, waiter_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local max_parallel, agent, session, history = tonumber(ARGV[6]), KEYS[2], KEYS[3], KEYS[4]
local newcomer = ARGV[5] == '0'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local UNKNOWN = '?' -- who holds a lock that the store may have forgotten, until its owner says so
local FRONT = 1e16 -- interrupting turns stand before all others, in order of their arrival

local rpm, tpm, tokens = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local window, requests, used, left = math.floor(time[1] / 60), 0, 0, 0
local rate_key = KEYS[1] .. ':' .. window

local function answer(word, ...)
  return { word, window, requests, used, left, ... }
end

local function uncount(and_request)
  if rpm > 0 or tpm > 0 then
    redis.call('HINCRBY', rate_key, 't', -tokens)
    if and_request then redis.call('HINCRBY', rate_key, 'r', -1) end
  end
end

if newcomer and (rpm > 0 or tpm > 0) then
  left = (window + 1) * 60000 - now
  requests = redis.call('HINCRBY', rate_key, 'r', 1)
  used = redis.call('HINCRBY', rate_key, 't', tokens)
  if requests == 1 then redis.call('PEXPIRE', rate_key, 120000) end
  if (rpm > 0 and requests > rpm) or (tpm > 0 and used > tpm and requests > 1) then
    uncount(true)
    return answer('rate_limited')
  end
end

local function waiting(place)
  local line, alive = place .. ':line', place .. ':alive'
  if redis.call('EXISTS', line) == 0 then return 0 end
  local gone = redis.call('ZRANGEBYSCORE', alive, '-inf', now)
  if #gone > 0 then
    redis.call('ZREM', line, unpack(gone))
    redis.call('ZREM', alive, unpack(gone))
  end
  return redis.call('ZCARD', line)
end

local function head(place)
  return redis.call('ZRANGE', place .. ':line', 0, 0)[1]
end

local function leave_line(place)
  redis.call('ZREM', place .. ':line', me)
  redis.call('ZREM', place .. ':alive', me)
end

local function stand_in_line(place, arrival)
  local line, alive = place .. ':line', place .. ':alive'
  redis.call('ZADD', line, string.format('%.0f', arrival), me)
  redis.call('ZADD', alive, now + waiter_ms, me)
  redis.call('PEXPIRE', line, 10 * waiter_ms)
  redis.call('PEXPIRE', alive, 10 * waiter_ms)
  return redis.call('ZRANK', line, me)
end

local function busy_slots()
  redis.call('ZREMRANGEBYSCORE', agent .. ':slots', '-inf', now)
  return redis.call('ZCARD', agent .. ':slots')
end

local lock = session .. ':lock'
local owner = session ~= '' and redis.call('GET', lock)
if session ~= '' and not owner and not newcomer and not redis.call('ZSCORE', session .. ':line', me) then
  -- the store lost my place in line, and so it may have lost the lock that I wait for
  redis.call('SET', lock, UNKNOWN, 'PX', ARGV[15])
  owner = UNKNOWN
end
local ahead = session ~= '' and owner ~= me and waiting(session) or 0

if newcomer and owner ~= me then
  if agent ~= '' and waiting(agent) >= tonumber(ARGV[7]) and busy_slots() >= max_parallel then
    uncount(false)
    return answer('queue_full', waiting(agent))
  end
  if (owner or ahead > 0) and policy == 'reject' then
    uncount(false)
    return answer('session_busy')
  end
  if (owner or ahead > 0) and policy == 'queue' and ahead >= tonumber(ARGV[8]) then
    uncount(false)
    return answer('session_queue_full')
  end
end

local arrival = tonumber(ARGV[5])
if newcomer then
  arrival = time[1] * 1000000 + time[2]
  if policy == 'interrupt' then arrival = arrival - FRONT end
end
local arrived = string.format('%.0f', arrival)

if session ~= '' and owner ~= me then
  if owner or (ahead > 0 and head(session) ~= me) then
    local rank = stand_in_line(session, arrival)
    local before = rank > 0 and redis.call('ZRANGE', session .. ':line', rank - 1, rank - 1)[1] or owner
    return answer('waiting', arrived, rank + 1, before and before ~= UNKNOWN and before or '')
  end
  redis.call('SET', lock, me, 'PX', lease_ms)
  if ahead > 0 then leave_line(session) end
elseif session ~= '' then
  redis.call('PEXPIRE', lock, lease_ms)
end

if agent ~= '' and not redis.call('ZSCORE', agent .. ':slots', me) then
  local busy, others = busy_slots(), waiting(agent)
  if busy >= max_parallel or (others > 0 and head(agent) ~= me) then
    local rank = stand_in_line(agent, arrival < 0 and arrival + FRONT or arrival)
    return answer('waiting', arrived, rank + 1, '')
  end
  redis.call('ZADD', agent .. ':slots', now + lease_ms, me)
  redis.call('PEXPIRE', agent .. ':slots', 10 * lease_ms)
  if others > 0 then
    leave_line(agent)
    local next_one = busy + 1 < max_parallel and head(agent)
    if next_one then redis.call('PUBLISH', ARGV[14], next_one) end
  end
end

if session == '' then return answer('entered', '') end

local kept = redis.call('HMGET', history .. ':head', 'version', 'head')
if not kept[1] then return answer('entered', '') end
redis.call('EXPIRE', history .. ':head', ARGV[13])
redis.call('EXPIRE', history .. ':fragment', ARGV[13])
redis.call('EXPIRE', history .. ':records', ARGV[13])
if kept[1] == ARGV[12] then return answer('entered', kept[1]) end
return answer(
  'entered', kept[1], kept[2], redis.call('GET', history .. ':fragment') or '', redis.call('GET', history .. ':records') or ''
)
