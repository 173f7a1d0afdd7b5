-- GET /features/evaluated?...&key=FLAG as a server SDK sends it: secret key in the header, the two ids of a
-- new visitor, ten flags in turn.
package.path = (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua;" .. package.path
local visitors = require("visitors")

local areas = { "basket", "catalog", "dashboard", "export", "fleet", "gallery", "inbox", "journal", "kiosk" }
areas[0] = "account"
local tails = {}
for i = 0, 9 do
  tails[i] = "&key=" .. areas[i] .. "-quick-view HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " ..
    visitors.secret_key .. "\r\n\r\n"
end

local head = "GET /features/evaluated?"

function request()
  local ids, number = visitors.ids_query()
  return head .. ids .. tails[number % 10]
end
