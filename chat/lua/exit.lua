-- A turn is over, or gives up waiting: settles its tokens, keeps the new history, frees lock and slot, rings for who is next.
-- KEYS: 1 rate of its window, 2 agent ("" = it needed no slot), 3 session ("" = stateless), 4 history
-- ARGV: 1 execution, 2 tokens to add, 3 bell, 4 what becomes of the history ("", "drop", "put", "grow"), 5 version, 6 head,
--       7 fragment, 8 records (of "grow": what is added), 9 version grown from, 10 fragment size, 11 records size before, 12 ttl s,
--       13 requests to add (-1: it is asked again, and counts then)
local me, bell = ARGV[1], ARGV[3]
local agent, session, history = KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function leave_line(place)
  if redis.call('EXISTS', place .. ':line') == 1 then
    redis.call('ZREM', place .. ':line', me)
    redis.call('ZREM', place .. ':alive', me)
  end
end

local function ring(place)
  local line, alive = place .. ':line', place .. ':alive'
  if redis.call('EXISTS', line) == 0 then return end
  local gone = redis.call('ZRANGEBYSCORE', alive, '-inf', now)
  if #gone > 0 then
    redis.call('ZREM', line, unpack(gone))
    redis.call('ZREM', alive, unpack(gone))
  end
  local first = redis.call('ZRANGE', line, 0, 0)[1]
  if first then redis.call('PUBLISH', bell, first) end
end

local function keep_history()
  local head, fragment, records = history .. ':head', history .. ':fragment', history .. ':records'
  local kept = redis.call('HGET', head, 'version')
  if kept == ARGV[5] and ARGV[4] ~= 'drop' then return end
  local grows = ARGV[4] == 'grow' and kept == ARGV[9]
  grows = grows and redis.call('STRLEN', fragment) == tonumber(ARGV[10])
  grows = grows and redis.call('STRLEN', records) == tonumber(ARGV[11])
  if grows then
    redis.call('APPEND', fragment, ARGV[7])
    redis.call('APPEND', records, ARGV[8])
  elseif ARGV[4] == 'put' then
    redis.call('SET', fragment, ARGV[7])
    redis.call('SET', records, ARGV[8])
  else
    redis.call('DEL', head, fragment, records)
    return
  end
  redis.call('HSET', head, 'version', ARGV[5], 'head', ARGV[6])
  redis.call('EXPIRE', head, ARGV[12])
  redis.call('EXPIRE', fragment, ARGV[12])
  redis.call('EXPIRE', records, ARGV[12])
end

if (ARGV[2] ~= '0' or ARGV[13] ~= '0') and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 't', ARGV[2])
  if ARGV[13] ~= '0' then redis.call('HINCRBY', KEYS[1], 'r', ARGV[13]) end
end

if session ~= '' then
  local ours = redis.call('GET', session .. ':lock') == me
  if ARGV[4] ~= '' then
    if not ours then ARGV[4] = 'drop' end
    keep_history()
  end
  leave_line(session)
  if ours then
    redis.call('DEL', session .. ':lock')
    ring(session)
  end
end

if agent ~= '' then
  leave_line(agent)
  redis.call('ZREM', agent .. ':slots', me)
  ring(agent)
end
