-- GET /features, the definitions, as a server SDK polls them: secret key in the header.
wrk.path = "/features"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("SECRET_KEY") or "sec_bench_0123456789abcdef0123")
