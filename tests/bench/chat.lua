-- The requests of one measure: `wrk … URL -- BODY_FILE [NAME=VALUE]…`, with those headers. The request is made once and sent again and
-- again (no `request` function), so that wrk costs its core as little as it can.

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["Content-Type"] = "application/json"
   file:close()
   for i = 2, #args do
      local name, value = args[i]:match("^([^=]+)=(.*)$")
      wrk.headers[name] = value
   end
end

-- One line that the driver reads; wrk's own report is for people.
function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      "result requests=%d duration_us=%d p50_us=%d status=%d connect=%d read=%d write=%d timeout=%d\n",
      summary.requests, summary.duration, latency:percentile(50.0),
      errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
