-- GET /features/enabled with the visitors of evaluated.lua: the answer holds only the flags that are on.
package.path = (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua;" .. package.path
local visitors = require("visitors")

local head = "GET /features/enabled?"
local tail = "&publishableKey=" .. visitors.publishable_key ..
  "&reflag-sdk-version=browser-sdk%2F1.6.1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

function request()
  return head .. visitors.query() .. tail
end
