-- GET /api/v1/environment-document/, server-side key.
--   wrk -t1 -c64 -d5s --latency -s document.lua http://127.0.0.1:8000
wrk.path = "/api/v1/environment-document/"
wrk.headers["X-Environment-Key"] = os.getenv("SECRET_KEY") or "sec_bench_0123456789abcdef0123"
