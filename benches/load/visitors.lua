-- The visitors that evaluated.lua, enabled.lua and one_flag.lua send: request N of a thread has a user and
-- a company of its own, five to eight attributes, and every twentieth company is one that the document's
-- lists may name. `attributes` in workload.py is the twin of this file; keep the two equal.
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
