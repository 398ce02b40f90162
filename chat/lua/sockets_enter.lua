-- One more socket (websocket.md section 10): refused when a principal or an address has too many over all processes.
-- KEYS: 1 the set of processes that count; each counts in a hash `<1>:<process>`, which lapses with it
-- ARGV: 1 this process, 2 life of its counts in s, then pairs of name and limit (0 = none)
-- Answers 1 (counted) or 0 (too many).
local own = KEYS[1] .. ':' .. ARGV[1]

for at = 3, #ARGV, 2 do
  local name, limit, count = ARGV[at], tonumber(ARGV[at + 1]), 0
  for _, process in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    count = count + tonumber(redis.call('HGET', KEYS[1] .. ':' .. process, name) or 0)
  end
  if limit > 0 and count >= limit then return 0 end
end

for _, process in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', KEYS[1] .. ':' .. process) == 0 then redis.call('SREM', KEYS[1], process) end
end
redis.call('SADD', KEYS[1], ARGV[1])
for at = 3, #ARGV, 2 do redis.call('HINCRBY', own, ARGV[at], 1) end
redis.call('EXPIRE', own, ARGV[2])
return 1
