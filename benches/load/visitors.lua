-- The visitors that evaluated.lua, enabled.lua, one_flag.lua and identities.lua send: request N of a thread
-- has a user and a company of its own and five to eight attributes, and every twentieth is one that the
-- document knows by name. `attributes` and `identity` in workload.py are the twins of this file; keep them equal.
--
-- BENCH_RUN becomes part of the ids. Give each wrk run another one, else a second run repeats the first
-- one's visitors and a cache of results could answer them.
local visitors = {}

local run = os.getenv("BENCH_RUN") or "0"
local plans = { "free", "pro", "team", "enterprise" }
local countries = {}
for code in ([[AR AT AU BE BR CA CH CL CN CO CZ DE DK EE ES FI FR GB GR HU IE IL IN IT JP KE KR LT LV MX NG NL NO
  NZ PL PT SE SG US ZA]]):gmatch("%a+") do
  countries[#countries + 1] = code
end

visitors.publishable_key = os.getenv("PUBLISHABLE_KEY") or "pub_bench_0123456789abcdef"
visitors.secret_key = os.getenv("SECRET_KEY") or "sec_bench_0123456789abcdef0123"

local floor, format = math.floor, string.format
local thread, number = 0, 0

function visitors.start(thread_number)
  thread, number = thread_number, 0
end

local function ids()
  number = number + 1
  local own = run .. "-" .. thread .. "-" .. number
  local company = "company-" .. own
  if number % 20 == 0 then
    company = format("company-%05d", number / 20 * 7 % 400)
  end
  return "user-" .. own, company
end

-- The two ids alone, and the number of the request.
function visitors.ids_query()
  local user, company = ids()
  return "context.company.id=" .. company .. "&context.user.id=" .. user, number
end

-- All attributes, sorted by name as the browser SDK sorts them.
function visitors.query()
  local user, company = ids()
  local n = number
  local seats, version, created = "", "", ""
  if n % 3 ~= 0 then
    seats = "&context.company.seats=" .. 1 + n * 37 % 500
  end
  if n % 7 ~= 3 then
    version = "&context.other.app_version=" .. 3 + n % 4 .. "." .. n * 3 % 10
  end
  if n % 11 > 2 then
    created = format("&context.user.created_at=20%02d-%02d-%02dT08%%3A30%%3A00Z",
      18 + floor(n / 12) % 6, 1 + n % 12, 1 + n % 28)
  end
  return "context.company.id=" .. company .. "&context.company.plan=" .. plans[floor(n / 3) % 4 + 1] .. seats ..
    version .. "&context.other.country=" .. countries[n * 13 % 40 + 1] .. created ..
    "&context.user.email=" .. user .. "%40mail" .. n % 9 .. ".example&context.user.id=" .. user
end

-- An identity with five traits, as Flagsmith's SDKs post it.
local identity = '{"identifier":"%s","traits":[{"trait_key":"plan","trait_value":"%s"},' ..
  '{"trait_key":"region","trait_value":"R%02d"},{"trait_key":"email","trait_value":"%s@mail%d.example"},' ..
  '{"trait_key":"app_version","trait_value":"%d.%d.%d"},{"trait_key":"age","trait_value":%d}]}'
function visitors.identity()
  number = number + 1
  local n = number
  local identifier = "user-" .. run .. "-" .. thread .. "-" .. n
  if n % 20 == 0 then
    identifier = format("listed-user-%05d", n / 20 * 7 % 1000)
  end
  return format(identity, identifier, plans[floor(n / 3) % 4 + 1], n * 13 % 100, identifier, n % 9,
    3 + n % 4, n * 3 % 10, n % 7, 18 + n % 60)
end

-- wrk runs `setup` once for each thread, in the main state, before the thread's own `init`.
local threads = 0
function setup(wrk_thread)
  wrk_thread:set("thread_number", threads)
  threads = threads + 1
end

function init()
  visitors.start(thread_number or 0)
end

return visitors
