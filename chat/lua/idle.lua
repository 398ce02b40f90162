-- Takes out and answers the conversations that are to be dropped (OAI-56): idle, or beyond the most allowed; none that runs.
-- KEYS: 1 conversations; ARGV: 1 most, 2 ttl ms, 3 what session keys begin with
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
local candidates = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
if surplus > #candidates then candidates = redis.call('ZRANGE', KEYS[1], 0, surplus - 1) end
local dropped = {}
for _, id in ipairs(candidates) do
  if redis.call('EXISTS', ARGV[3] .. id .. ':lock') == 0 then
    redis.call('ZREM', KEYS[1], id)
    dropped[#dropped + 1] = id
  end
end
return dropped
