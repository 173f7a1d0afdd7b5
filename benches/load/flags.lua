-- GET /api/v1/flags/, client-side key: all flags, for nobody in particular.
--   wrk -t1 -c64 -d5s --latency -s flags.lua http://127.0.0.1:8000
wrk.path = "/api/v1/flags/"
wrk.headers["X-Environment-Key"] = os.getenv("PUBLISHABLE_KEY") or "pub_bench_0123456789abcdef"
