-- One limit in one window, and the values of it, as hashes of Redis: the transitions of account.rs and accounts.rs, each
-- whole or not at all. No call walks through the holders or the values of a limit, but of a rolling one now and then.
--
-- KEYS     the hash of the root, the index of its values by what they have spent, the index of those that are short of a
--          ceiling, of a rolling limit that of its values by when nothing of them will count, and the hash of a value where
--          the call is about one. All of a budget have one hash tag: one slot.
-- ARGV[1]  open, begin, secure, state, totals, values
-- ARGV[2]  milliseconds, or nothing: the clock of this server
--
-- Fields of every account: run, epoch, revision, ceiling, secured_at, unclaimed, committed, spent, short, recall_holder,
-- recall_need, recall_until; and for each holder `h:HOLDER`, its number, what it has drawn and spent. Of the root besides:
-- opening, opened_at, limit, strict, value_ceiling, value_gone, most. Of a rolling limit besides: begun_at, latest, looks_at,
-- and of each holder when it was first heard of. Amounts stay below 2^53: numbers are doubles.
--
-- `run` tells what this server has itself done since it was made the one that counts. One that has started again, or was a
-- replica in between, may remember less than was granted, and grants nothing until it is begun anew. The id of the process
-- alone does not tell: a server that was made a replica, and was given back its own data as somebody else remembered it,
-- is still the same process. The id of the data's lineage changes with every such turn; it changes too when a server gets its
-- first replica, or has lost its last for long, and that costs no more than to begin anew.
local SHARE, RECALL, UNSECURED_AFTER, CLAIMED_AFTER, REST, LEAVE = 16, 2000, 10000, 30000, '*', 64

local root, index, shorts = KEYS[1], KEYS[2], KEYS[3]
-- As rolling.rs has it: how long what a holder has counts, and how often all holders are looked at.
local length, counts_for, pause = tonumber(string.match(root, '}:rolling(%d+)%-%a+:%d+$')), false, false
if length then
  length = length * 1000
  counts_for, pause = length + math.floor(length / 12), math.floor(length / 96)
end
local over, own = length and KEYS[4], KEYS[length and 5 or 4]
local value = own and string.sub(own, #root + 4)
local process = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local lineage = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if not (process and lineage) then return redis.error_reply('ERR the server does not tell its run_id and master_replid') end
local run, asked = process .. lineage, ARGV[1]
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function text(number) return string.format('%.0f', number) end

local terms = redis.call('HMGET', root, 'run', 'opening', 'epoch', 'limit', 'strict', 'secured_at', 'value_ceiling',
  'value_gone', 'most', 'opened_at', 'begun_at')
local opening, epoch = false, false
if terms[1] == run then opening, epoch = terms[2], terms[3] end

local function start(key, first, revision, gone, begun_at, kept)
  gone = text(gone)
  redis.call('DEL', key)
  redis.call('HSET', key, 'run', run, 'epoch', first, 'revision', revision, 'ceiling', gone, 'secured_at', text(now),
    'unclaimed', gone, 'committed', gone, 'spent', 0, 'short', 0)
  if length then
    redis.call('HSET', key, 'begun_at', text(begun_at), 'latest', text(now), 'looks_at', text(now))
  end
  redis.call('PEXPIRE', key, kept)
end

-- For so long the root is kept; nothing that hangs on it goes before.
local function left() return math.max(redis.call('PTTL', root), 1) end

-- A value of a rolling limit is heard of. When nothing of it counts any more it goes by itself, and before that it is told
-- by the index, so that one that is missing is seen to be.
local function counts(latest, kept)
  redis.call('ZADD', over, text(latest + counts_for), value)
  redis.call('PEXPIRE', over, kept)
  redis.call('PEXPIRE', own, text(math.min(math.max(latest - now, 0) + counts_for * 2, kept)))
end

local function leave(gone)
  redis.call('ZREM', index, gone)
  redis.call('ZREM', shorts, gone)
  redis.call('ZREM', over, gone)
end

-- Some of the values of which nothing counts any more leave, the longest so first.
local function retire()
  if not length then return end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', over, '-inf', text(now), 'LIMIT', 0, LEAVE)) do leave(gone) end
end

local function parts(entry)
  local a, b, c, d = string.match(entry, '(%d+) (%d+) (%d+) ?(%d*)')
  return tonumber(a), tonumber(b), tonumber(c), tonumber(d)
end

-- Of a rolling limit takes out what counts no more.
local function roll(key)
  local account = redis.call('HMGET', key, 'looks_at', 'begun_at', 'unclaimed', 'committed', 'spent')
  if now < tonumber(account[1]) then return false end
  local begun_at, unclaimed = tonumber(account[2]), tonumber(account[3])
  local committed, spent = tonumber(account[4]), tonumber(account[5])
  if now >= begun_at + counts_for then committed, unclaimed = committed - unclaimed, 0 end
  local first, gone = unclaimed > 0 and begun_at or false, {}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'h:' then
      local _, had_drawn, had_spent, since = parts(fields[i + 1])
      if now < since + counts_for then
        first = math.min(first or since, since)
      else
        gone[#gone + 1] = fields[i]
        committed, spent = committed - math.max(had_drawn, had_spent), spent - had_spent
      end
    end
  end
  for i = 1, #gone, 1000 do redis.call('HDEL', key, unpack(gone, i, math.min(i + 999, #gone))) end
  redis.call('HSET', key, 'unclaimed', text(unclaimed), 'committed', text(committed), 'spent', text(spent), 'looks_at',
    text(math.max((first or now) + counts_for, now + pause)))
  if value then redis.call('ZADD', index, 'XX', text(spent), value) end
  return true
end

-- EPOCH, and for how many milliseconds from now it is kept.
if asked == 'open' then
  local wanted = tonumber(ARGV[3])
  if epoch and tonumber(epoch) >= wanted or opening and tonumber(opening) > wanted then return {'late'} end
  if not (epoch or opening) then redis.call('DEL', root) end
  local at = terms[10]
  if opening ~= ARGV[3] then
    at = text(now)
    redis.call('DEL', index, shorts)
    if length then redis.call('DEL', over) end
    redis.call('HSET', root, 'run', run, 'opening', ARGV[3], 'opened_at', at)
  end
  if redis.call('PTTL', root) < tonumber(ARGV[4]) then redis.call('PEXPIRE', root, ARGV[4]) end
  return {'opened', at}
end

-- EPOCH LIMIT REVISION STRICT GONE KEPT VALUE_CEILING VALUE_GONE MOST OPENED_AT
if asked == 'begin' then
  local gone, kept = tonumber(ARGV[7]), ARGV[8]
  if terms[10] ~= ARGV[12] then return {0} end
  if not value then
    if opening ~= ARGV[3] then return {0} end
    if epoch then gone = math.max(gone, tonumber(redis.call('HGET', root, 'committed'))) end
    start(root, ARGV[3], ARGV[5], gone, now, kept)
    redis.call('HSET', root, 'limit', ARGV[4], 'strict', ARGV[6], 'value_ceiling', ARGV[9], 'value_gone', ARGV[10],
      'most', ARGV[11], 'opened_at', ARGV[12])
    return {1}
  end
  if opening ~= ARGV[3] and epoch ~= ARGV[3] then return {0} end
  local before = redis.call('HMGET', own, 'run', 'epoch', 'committed')
  if before[1] == run then
    if tonumber(before[2]) >= tonumber(ARGV[3]) then return {0} end
    gone = math.max(gone, tonumber(before[3]))
  elseif redis.call('ZSCORE', index, value) then
    return {0}
  end
  start(own, ARGV[3], ARGV[5], gone, now, kept)
  redis.call('ZADD', index, 0, value)
  redis.call('PEXPIRE', index, kept)
  if length then counts(now, kept) end
  return {1}
end

if asked == 'values' then
  if not (epoch or opening) then return {'values', '0', '0'} end
  local most = tonumber(ARGV[3])
  retire()
  local told = {'values', text(redis.call('ZCARD', index)), '0'}
  if most == 0 then return told end
  local spent = redis.call('ZREVRANGE', index, 0, most - 1, 'WITHSCORES')
  told[3] = text(#spent / 2)
  for _, list in ipairs({spent, redis.call('ZREVRANGE', shorts, 0, most - 1, 'WITHSCORES')}) do
    for i = 1, #list, 2 do
      told[#told + 1] = list[i]
      told[#told + 1] = text(tonumber(list[i + 1]))
    end
  end
  return told
end

if not epoch then return {'closed'} end

-- EPOCH REVISION LIMIT STRICT CEILING VALUE_CEILING MOST
if asked == 'secure' then
  local key = own or root
  local known = redis.call('HMGET', key, 'run', 'epoch', 'revision', 'ceiling', 'committed')
  local revision = tonumber(ARGV[4])
  if known[1] ~= run or known[2] ~= ARGV[3] or epoch ~= ARGV[3] or revision < tonumber(known[3]) then return {'late'} end
  if revision == tonumber(known[3]) then
    redis.call('HSET', key, 'secured_at', text(now))
    return {'secured', known[4]}
  end
  local ceiling = text(math.max(tonumber(ARGV[7]), math.min(tonumber(known[5]), tonumber(known[4]))))
  redis.call('HSET', key, 'revision', ARGV[4], 'ceiling', ceiling, 'secured_at', text(now), 'short', 0)
  if value then
    redis.call('ZREM', shorts, value)
  else
    redis.call('DEL', shorts)
    redis.call('HSET', root, 'limit', ARGV[5], 'strict', ARGV[6])
    if ARGV[8] then
      redis.call('HSET', root, 'value_ceiling', text(math.max(tonumber(ARGV[8]), tonumber(terms[7]))), 'most', ARGV[9])
    end
  end
  return {'secured', ceiling}
end

local entry_of = 'h:' .. (ARGV[3] or '')
local function read()
  return redis.call('HMGET', own or root, 'run', 'epoch', 'revision', 'ceiling', 'secured_at', 'unclaimed', 'committed',
    'spent', 'short', 'recall_holder', 'recall_need', 'recall_until', entry_of, 'latest')
end
local known = read()

if asked == 'totals' then
  if known[1] ~= run or known[2] ~= epoch then return {'closed'} end
  if length and roll(own or root) then known = read() end
  return {'totals', epoch, known[3], known[4], terms[4], known[8], known[7], known[6], known[9]}
end

-- HOLDER EPOCH SEQ DRAWN SPENT WANT NEED
local holder, seq = ARGV[3], tonumber(ARGV[5])
local drawn, spent, want, need = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

if value then
  local listed = redis.call('ZSCORE', index, value)
  if length then
    local over_at = tonumber(redis.call('ZSCORE', over, value) or now + 1)
    if known[1] == run then
      over_at = tonumber(known[14]) + counts_for
      if tonumber(known[2]) > tonumber(epoch) then over_at = now + 1 end
    end
    -- Nothing of it counts any more: it begins like any other, if there is room.
    if over_at <= now then
      leave(value)
      known, listed = {}, false
    end
  end
  if known[1] ~= run or known[2] ~= epoch then
    local gone, begun_at = tonumber(terms[8]), now
    if length then
      begun_at = tonumber(terms[11])
      if now >= begun_at + counts_for then gone = 0 end
    end
    if known[1] == run then
      -- Begun by name for an epoch that the root is not in yet.
      if tonumber(known[2]) > tonumber(epoch) then return {'closed'} end
      gone = math.max(gone, tonumber(known[7]))
    elseif listed then
      -- Somebody has deleted it, or there was no memory to keep it: only an operator that knows what was gone begins anew.
      return {'closed'}
    end
    if not listed and value ~= REST and drawn == 0 and spent == 0 then
      local function others()
        return redis.call('ZCARD', index) - (redis.call('ZSCORE', index, REST) and 1 or 0)
      end
      if others() >= tonumber(terms[9]) then retire() end
      if others() >= tonumber(terms[9]) then return {'full'} end
    end
    start(own, epoch, 0, gone, begun_at, left())
    known, listed = read(), false
  end
  if not listed then
    redis.call('ZADD', index, known[8], value)
    redis.call('PEXPIRE', index, left())
    if length then counts(tonumber(known[14]), left()) end
  end
end
if ARGV[4] ~= epoch then return {'moved', epoch} end
if length and roll(own or root) then known = read() end

local limit, secured_at = tonumber(terms[4]), tonumber(known[5])
local ceiling, unclaimed, committed = tonumber(known[4]), tonumber(known[6]), tonumber(known[7])
local total, short = tonumber(known[8]), tonumber(known[9])
if value then
  ceiling, secured_at = math.max(ceiling, tonumber(terms[7])), math.max(secured_at, tonumber(terms[6]))
end

local last, had_drawn, had_spent, since = 0, 0, 0, now
if known[13] then last, had_drawn, had_spent, since = parts(known[13]) end
if seq <= last then return {'stale'} end

local claimed = math.min(math.max(drawn - had_drawn, 0), unclaimed)
unclaimed = unclaimed - claimed
committed = committed - claimed - math.max(had_drawn, had_spent) + math.max(drawn, spent)
total = total - had_spent + spent

local lost = 0
if now >= tonumber(terms[10]) + CLAIMED_AFTER then lost = unclaimed end
local free = math.max(limit - committed, 0)
local room = free
if terms[5] == '1' or now < secured_at + UNSECURED_AFTER then room = math.min(free, math.max(ceiling - committed, 0)) end
local recall_holder, recall_need, recall_until = known[10], tonumber(known[11]), tonumber(known[12])
local own_until, asks = false, false
if recall_holder and now >= recall_until then recall_holder = false end
if recall_holder == holder then recall_holder, own_until = false, recall_until end

if recall_holder then want = math.min(want, math.max(room - recall_need, 0)) end
local amount = math.min(math.max(want, need), math.max(need, math.floor(room / SHARE)), room)
local why = ''
if amount < need then
  amount = 0
  if free >= need then
    why, short = 'ceiling', short + need
  elseif math.max(limit - (total - spent + math.max(drawn, spent) + lost), 0) < need then
    why = 'spent'
  else
    why = 'held'
    if not recall_holder or need < recall_need then
      asks = not own_until
      recall_holder, recall_need, recall_until = holder, need, own_until or now + RECALL
    end
  end
end
committed = committed - math.max(drawn, spent)
drawn = drawn + amount
committed = committed + math.max(drawn, spent)

local key = own or root
local entry = string.format('%.0f %.0f %.0f', seq, drawn, spent)
if length then entry = entry .. ' ' .. text(since) end
redis.call('HSET', key, entry_of, entry, 'unclaimed', text(unclaimed), 'committed', text(committed), 'spent', text(total),
  'short', text(short))
if length and not known[13] then
  local latest = math.max(tonumber(known[14]), now)
  redis.call('HSET', key, 'latest', text(latest))
  if value then counts(latest, left()) end
end
if recall_holder then
  redis.call('HSET', key, 'recall_holder', recall_holder, 'recall_need', text(recall_need), 'recall_until',
    text(recall_until))
elseif known[10] then
  redis.call('HDEL', key, 'recall_holder', 'recall_need', 'recall_until')
end
if value then
  if spent ~= had_spent then redis.call('ZADD', index, text(total), value) end
  if why == 'ceiling' then
    redis.call('HINCRBY', root, 'short', text(need))
    redis.call('ZADD', shorts, text(short), value)
    redis.call('PEXPIRE', shorts, left())
  end
end
-- Who may not tell it has been served all the same: holders hear it with their next answers.
if asks then redis.pcall('PUBLISH', string.match(root, '^llm:{[^}]*}') .. ':recall', key) end
local recall = 0
if recall_holder and recall_holder ~= holder then recall = 1 end
return {'granted', text(amount), recall, text(limit), text(math.max(limit - committed, 0)), text(total + lost), why}
