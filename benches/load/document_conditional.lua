-- The same with If-None-Match, which an unchanged document answers with 304. ETAG holds the tag, quotes
-- included:   ETAG='"..."' wrk -t1 -c64 -d5s --latency -s document_conditional.lua http://127.0.0.1:8000
wrk.path = "/api/v1/environment-document/"
wrk.headers["X-Environment-Key"] = os.getenv("SECRET_KEY") or "sec_bench_0123456789abcdef0123"
wrk.headers["If-None-Match"] = assert(os.getenv("ETAG"), "ETAG is not set")
