-- One line of JSON at the end of a run of wrk. Latencies are in microseconds.
done = function(summary, latency, requests)
    io.write(string.format('figures {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d,"timeouts":%d,"refused":%d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        summary.errors.read + summary.errors.write + summary.errors.connect, summary.errors.timeout, summary.errors.status))
end
