-- GET /api/v1/flags/?feature=NAME, client-side key, ten flags in turn.
--   wrk -t1 -c64 -d5s --latency -s flag.lua http://127.0.0.1:8000
local key = os.getenv("PUBLISHABLE_KEY") or "pub_bench_0123456789abcdef"
local areas = { "account", "basket", "catalog", "dashboard", "export", "fleet", "gallery", "inbox", "journal", "kiosk" }
local requests, number = {}, 0
for place, area in ipairs(areas) do
  requests[place - 1] = "GET /api/v1/flags/?feature=" .. area .. "_quick_view_" .. place - 1 ..
    " HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Environment-Key: " .. key .. "\r\n\r\n"
end

function request()
  number = number + 1
  return requests[number % 10]
end
