-- A client tool call whose connection is lost (websocket.md WS-50): of several that would answer it, one gets it.
-- KEYS: 1 who is to answer the call; 2 how the keys of connections that are there begin
-- ARGV: 1 who would answer it
-- Answers 1 (it is theirs now) or 0 (nobody waits for it, or whoever was asked is there).
local asked = redis.call('GET', KEYS[1])
if not asked or (asked ~= ARGV[1] and redis.call('EXISTS', KEYS[2] .. asked) == 1) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
return 1
