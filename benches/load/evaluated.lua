-- GET /features/evaluated as a browser sends it: publishable key in the query, parameters sorted by name,
-- another visitor each time.   wrk -t1 -c64 -d5s --latency -s evaluated.lua http://127.0.0.1:8000
package.path = (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua;" .. package.path
local visitors = require("visitors")

local head = "GET /features/evaluated?"
local tail = "&publishableKey=" .. visitors.publishable_key ..
  "&reflag-sdk-version=browser-sdk%2F1.6.1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

function request()
  return head .. visitors.query() .. tail
end
