-- POST /api/v1/identities/ as a browser sends it: client-side key, another identity with five traits each time.
--   wrk -t1 -c64 -d5s --latency -s identities.lua http://127.0.0.1:8000
package.path = (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua;" .. package.path
local visitors = require("visitors")

local head = "POST /api/v1/identities/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Environment-Key: " ..
  visitors.publishable_key .. "\r\nContent-Type: application/json\r\nContent-Length: "

function request()
  local body = visitors.identity()
  return head .. #body .. "\r\n\r\n" .. body
end
