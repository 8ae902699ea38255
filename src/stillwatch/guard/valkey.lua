-- Counters that several guards share, as one script: each call is one round trip, and nothing comes between its steps.
-- The arithmetic is that of tally.py and counters.py, operation for operation; the tests hold them against each other.
--
-- KEYS  1 the clock, 2 the open grants, from 3 on what the operation is about
-- ARGV  1 operation, 2 time in seconds (empty: this server's), 3 seconds that every key is kept beyond need,
--       4 seconds that an estimate is held, 5 arguments in MessagePack, from 6 on digests of things (binary)
--
-- Kept, by type of key:
--   clock    string  last time told, and what is added to this server's clock
--   grants   sorted set  a grant (its id and what it holds, in MessagePack) by when it counts as used
--   pace     string  per_second, level, at, held        cap   string  seconds, window, used
--   distinct hash    a field a thing, and `w`: seconds, window
--   sum      string  total, until                       once  hash    a field a thing, and `w`: until

local GRAIN, NEVER = 1e-9, math.huge  -- what rounding may add up to; no time to come
local CLEARED = 32                    -- grants that one call settles at most, so that none takes long
local BELIEVED = 1                    -- a longer silence than this many seconds works off what was added to the clock
local LONGEST = 366 * 86400           -- seconds that a tally is kept after its last use, at most; the clock and the
                                      -- grants are kept twice as long, so that no tally waits for a grant that is gone
local CHUNK = 1000                    -- arguments of one command; Lua's stack takes some 8000

local call, pack, unpacked = redis.call, struct.pack, struct.unpack
local min, max, ceil, fmod = math.min, math.max, math.ceil, math.fmod
local clock, grants = KEYS[1], KEYS[2]
local operation, given, slack, hold = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function milliseconds(seconds)
  return ceil((min(max(seconds, 0), 2 * LONGEST) + slack) * 1000)
end

local function exact(number)
  return string.format('%.17g', number)
end

-- Time, which never runs back: where this server's clock did, it goes on from where it was, ahead of that clock by what
-- is added to it; whenever nobody asks for a while, that much less of the silence counts.
local function look()
  local wall
  if given == '' then
    local told = call('TIME')
    wall = told[1] + told[2] / 1e6
  else
    wall = tonumber(given)
  end
  local kept, now, added = call('GET', clock), wall, 0
  if kept then
    local last
    last, added = unpacked('<dd', kept)
    now = wall + added
    if now < last then
      added, now = last - wall, last
    elseif added > 0 and now - last > BELIEVED then
      local off = min(added, now - last - BELIEVED)
      added, now = added - off, now - off
    end
  end
  call('SET', clock, pack('<dd', now, added), 'PX', milliseconds(2 * LONGEST))
  return now
end

local function window_of(seconds, now)
  return (now - fmod(now, seconds)) / seconds
end

local function window_end(seconds, now)
  return (window_of(seconds, now) + 1) * seconds
end

local function leaked(level, at, now, rate)
  return max(level - max(now - at, 0) * rate, 0)
end

local function keep_pace(key, rate, level, at, held, now)
  local left = at + level / rate - now
  if held > 0 then
    left = max(left, 0) + hold + held / rate
  end
  call('SET', key, pack('<dddd', rate, level, at, held), 'PX', milliseconds(min(left, LONGEST)))
end

-- Put what was really used in the place of estimates; `used` is by measure, and where it is silent the estimate stands.
local function settle(items, used, when, now)
  for _, item in ipairs(items) do
    local key, measure, estimate, window = item[1], item[2], item[3], item[4]
    local actual, kept = used[measure] or estimate, call('GET', key)
    if kept and window < 0 then
      local rate, level, at, held = unpacked('<dddd', kept)
      local moment = max(when, at)
      held = max(held - estimate, 0)
      if held < GRAIN then
        held = 0
      end
      keep_pace(key, rate, leaked(level, at, moment, rate) + actual, moment, held, now)
    elseif kept then
      local seconds, running, before = unpacked('<ddd', kept)
      if running == window then
        call('SET', key, pack('<ddd', seconds, running, max(before + actual - estimate, 0)), 'KEEPTTL')
      end
    end
  end
end

local function settle_late(now)
  local late = call('ZRANGEBYSCORE', grants, '-inf', exact(now), 'WITHSCORES', 'LIMIT', 0, CLEARED)
  for i = 1, #late, 2 do
    call('ZREM', grants, late[i])
    settle(cmsgpack.unpack(late[i])[2], {}, tonumber(late[i + 1]), now)
  end
end

local function pace(key, charge, now)
  local rate, burst, amount, kept = charge[2], charge[3], charge[4], call('GET', key)
  local level, held = 0, 0
  if kept then
    local before, was, at
    before, was, at, held = unpacked('<dddd', kept)
    if before ~= rate then  -- a new policy: it holds from its first look on, whether or not this charge has room
      keep_pace(key, rate, was, at, held, now)
    end
    level = leaked(was, at, now, rate)
  end
  local over, wait = level + held + amount - burst, 0
  if over > GRAIN or level + held >= burst then
    wait = amount > burst and NEVER or max(over, GRAIN) / rate
  end
  return wait, function(measure)
    if not kept and amount == 0 then
      return -1
    end
    if measure > 0 then
      held = held + amount
    else
      level = level + amount
    end
    keep_pace(key, rate, level, now, held, now)
    return -1
  end
end

local function cap(key, charge, now)
  local most, seconds, amount, kept = charge[2], charge[3], charge[4], call('GET', key)
  local current, used = window_of(seconds, now), 0
  if kept then
    local was, window, before = unpacked('<ddd', kept)
    if window == window_of(was, now) then  -- it runs on, also where a new policy made it longer or shorter
      used = before
      if was ~= seconds then
        call('SET', key, pack('<ddd', seconds, current, used), 'PX', milliseconds(window_end(seconds, now) - now))
      end
    end
  end
  local ends, wait = window_end(seconds, now), 0
  if used + amount > most + GRAIN or used >= most then
    wait = amount > most and NEVER or ends - now
  end
  return wait, function()
    call('SET', key, pack('<ddd', seconds, current, used + amount), 'PX', milliseconds(ends - now))
    return current
  end
end

-- Which of the things from `first` on a hash has not, each once; and its field `w`.
local function news(key, first, count)
  local new, asked, mark = {}, {}, call('HGET', key, 'w')
  for begin = first, first + count - 1, CHUNK do
    local last = min(begin + CHUNK, first + count) - 1
    local there = call('HMGET', key, unpack(ARGV, begin, last))
    for i = begin, last do
      local thing = ARGV[i]
      if not there[i - begin + 1] and not asked[thing] then
        asked[thing] = true
        new[#new + 1] = thing
      end
    end
  end
  return new, mark
end

local function remember(key, things)
  for begin = 1, #things, CHUNK / 2 do
    local fields = {}
    for i = begin, min(begin + CHUNK / 2 - 1, #things) do
      fields[#fields + 1] = things[i]
      fields[#fields + 1] = ''
    end
    call('HSET', key, unpack(fields))
  end
end

local function distinct(key, charge, now, first)
  local most, seconds, count = charge[2], charge[3], charge[6]
  local new, kept = news(key, first, count)
  local current, before, known, over = window_of(seconds, now), 0, false, false
  if kept then
    local was, window = unpacked('<dd', kept)
    known = window == window_of(was, now)
    over = not known
    before = known and call('HLEN', key) - 1 or 0
    if known and was ~= seconds then
      call('HSET', key, 'w', pack('<dd', seconds, current))
      call('PEXPIRE', key, milliseconds(window_end(seconds, now) - now))
    end
  end
  if over then
    new = {}
    for i = 1, count do
      new[i] = ARGV[first + i - 1]
    end
  end
  local ends, wait = window_end(seconds, now), 0
  if #new > 0 and before + #new > most then
    wait = count > most and NEVER or ends - now
  end
  return wait, function()
    if over then
      call('DEL', key)
    end
    if #new > 0 or not known then
      call('HSET', key, 'w', pack('<dd', seconds, current))
      remember(key, new)
      call('PEXPIRE', key, milliseconds(ends - now))
    end
    return 0
  end
end

local kinds = {pace, cap, distinct}
local operations = {}

-- Charge all, or none. Gives the grant (empty: nothing is held), or which charge has no room and for how long.
function operations.charge(arguments)
  local id, charges, now = arguments[1], arguments[2], look()
  settle_late(now)
  local longest, which, takes, first = 0, 0, {}, 6
  for i, charge in ipairs(charges) do
    local wait, take = kinds[charge[1]](KEYS[i + 2], charge, now, first)
    first = first + charge[6]
    takes[i] = take
    if wait > longest then
      longest, which = wait, i
    end
  end
  if which > 0 then
    return {which, longest == NEVER and '' or exact(longest)}
  end
  local items = {}
  for i, charge in ipairs(charges) do
    local measure = charge[5]
    local window = takes[i](measure)
    if measure > 0 then
      items[#items + 1] = {KEYS[i + 2], measure, charge[4], window}
    end
  end
  if #items == 0 then
    return ''
  end
  local grant = cmsgpack.pack({id, items})
  call('ZADD', grants, exact(now + hold), grant)
  call('PEXPIRE', grants, milliseconds(2 * LONGEST))
  return grant
end

-- Settle a grant, once.
function operations.settle(arguments)
  local grant, now = ARGV[6], look()
  if call('ZREM', grants, grant) == 1 then
    settle(cmsgpack.unpack(grant)[2], arguments, now, now)
  end
  return 0
end

-- Add to running sums; gives the totals, eight bytes each.
function operations.add(arguments)
  local keep, now, totals = arguments[1], look(), {}
  for i, more in ipairs(arguments[2]) do
    local key = KEYS[i + 2]
    local kept, total = call('GET', key), 0
    if kept then
      local before, till = unpacked('<dd', kept)
      total = now < till and before or 0
    end
    total = total + more
    call('SET', key, pack('<dd', total, now + keep), 'PX', milliseconds(keep))
    totals[i] = pack('<d', total)
  end
  return table.concat(totals)
end

-- Put things into a set; gives those that it did not have.
function operations.once(arguments)
  local key, keep, now = KEYS[3], arguments[1], look()
  local mark = call('HGET', key, 'w')
  if mark and unpacked('<d', mark) <= now then
    call('DEL', key)
  end
  call('HSET', key, 'w', pack('<d', now + keep))
  local new = news(key, 6, #ARGV - 5)
  remember(key, new)
  call('PEXPIRE', key, milliseconds(keep))
  return new
end

return operations[operation](cmsgpack.unpack(ARGV[5]))
