-- Moves the leases of one process's executions, also when the store was emptied; answers those whose lock another one holds.
-- A lock whose owner the store forgot ("?", see enter.lua) is whose it was.
-- KEYS: session and agent of each execution ("" = none); ARGV: 1 lease ms, then the executions
local lease_ms = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost = {}

for index = 2, #ARGV do
  local me, session, agent = ARGV[index], KEYS[2 * index - 3], KEYS[2 * index - 2]
  local owner = session ~= '' and redis.call('GET', session .. ':lock')
  if owner and owner ~= me and owner ~= '?' then
    lost[#lost + 1] = me
  else
    if session ~= '' then redis.call('SET', session .. ':lock', me, 'PX', lease_ms) end
    if agent ~= '' then
      redis.call('ZADD', agent .. ':slots', now + lease_ms, me)
      redis.call('PEXPIRE', agent .. ':slots', 10 * lease_ms)
    end
  end
end
return lost
