-- One limit in one window, as a hash of Redis: the transitions of account.rs, each whole or not at all.
--
-- KEYS[1]  the hash. All windows of a budget share a hash tag, so that one of them lives in one slot.
-- ARGV[1]  begin, secure, state
-- ARGV[2]  milliseconds, or nothing: the clock of this server
--
-- Fields: run, epoch, limit, revision, strict, ceiling, secured_at, unclaimed, committed, short, recall_holder, recall_need, recall_until;
-- and for each holder `h:HOLDER`, its number, what it has drawn and spent. Amounts stay below 2^53: numbers are doubles.
--
-- `run` tells this life of this server from any other: one that has started again, or a replica that has taken over, may
-- remember less than was granted, and grants nothing until it is begun anew.
local SHARE, RECALL, UNSECURED_AFTER = 16, 2000, 10000

local key, asked = KEYS[1], ARGV[1]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function text(number) return string.format('%.0f', number) end

local known = redis.call('HMGET', key, 'run', 'epoch', 'limit', 'ceiling', 'secured_at', 'unclaimed', 'committed',
  'short', 'recall_holder', 'recall_need', 'recall_until', 'revision', 'strict')
local begun = known[1] == run

-- EPOCH LIMIT REVISION STRICT GONE, and for how many milliseconds from now it is kept.
if asked == 'begin' then
  if begun then return {0} end
  local gone = ARGV[7]
  redis.call('DEL', key)
  redis.call('HSET', key, 'run', run, 'epoch', ARGV[3], 'limit', ARGV[4], 'revision', ARGV[5], 'strict', ARGV[6],
    'ceiling', gone, 'secured_at', text(now), 'unclaimed', gone, 'committed', gone, 'short', 0)
  redis.call('PEXPIRE', key, ARGV[8])
  return {1}
end

if not begun then return {'closed'} end
local limit, ceiling, secured_at = tonumber(known[3]), tonumber(known[4]), tonumber(known[5])
local unclaimed, committed, short = tonumber(known[6]), tonumber(known[7]), tonumber(known[8])

-- EPOCH LIMIT REVISION CEILING
if asked == 'secure' then
  if ARGV[3] ~= known[2] or tonumber(ARGV[5]) < tonumber(known[12]) then return {'late'} end
  ceiling = math.max(ceiling, tonumber(ARGV[6]))
  redis.call('HSET', key, 'limit', ARGV[4], 'revision', ARGV[5], 'ceiling', text(ceiling), 'secured_at', text(now), 'short', 0)
  return {'secured'}
end

-- HOLDER EPOCH SEQ DRAWN SPENT WANT NEED
local holder, seq = ARGV[3], tonumber(ARGV[5])
if ARGV[4] ~= known[2] then return {'moved', known[2]} end
local drawn, spent, want, need = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local entry = redis.call('HGET', key, 'h:' .. holder)
local last, had_drawn, had_spent = 0, 0, 0
if entry then
  local a, b, c = string.match(entry, '(%d+) (%d+) (%d+)')
  last, had_drawn, had_spent = tonumber(a), tonumber(b), tonumber(c)
end
if seq <= last then return {'stale'} end

local claimed = math.min(math.max(drawn - had_drawn, 0), unclaimed)
unclaimed = unclaimed - claimed
committed = committed - claimed - math.max(had_drawn, had_spent) + math.max(drawn, spent)

local free = math.max(limit - committed, 0)
local room = free
if known[13] == '1' or now < secured_at + UNSECURED_AFTER then room = math.min(free, math.max(ceiling - committed, 0)) end
local recall_holder, recall_need, recall_until = known[9], tonumber(known[10]), tonumber(known[11])
if recall_holder == holder or (recall_until and now >= recall_until) then recall_holder = false end

local amount = math.min(math.max(want, need), math.max(need, math.floor(room / SHARE)), room)
if amount < need then
  amount = 0
  if free >= need then
    short = short + need
  elseif not recall_holder or need < recall_need then
    recall_holder, recall_need, recall_until = holder, need, now + RECALL
  end
end
committed = committed - math.max(drawn, spent)
drawn = drawn + amount
committed = committed + math.max(drawn, spent)

redis.call('HSET', key, 'h:' .. holder, string.format('%.0f %.0f %.0f', seq, drawn, spent), 'unclaimed', text(unclaimed),
  'committed', text(committed), 'short', text(short))
if recall_holder then
  redis.call('HSET', key, 'recall_holder', recall_holder, 'recall_need', text(recall_need), 'recall_until',
    text(recall_until))
elseif known[9] then
  redis.call('HDEL', key, 'recall_holder', 'recall_need', 'recall_until')
end
local recall = 0
if recall_holder and recall_holder ~= holder then recall = 1 end
return {'granted', text(amount), recall}
