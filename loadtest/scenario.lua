-- One scenario for wrk. Arguments: the file with requests, separated by NUL bytes, and the largest {n}.
-- Each request is a whole HTTP message; its {n} is drawn at random each time. done() prints one line of JSON.

local requests = {}
local n_max = 1

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local text = file:read("*a")
  file:close()
  n_max = tonumber(arguments[2])
  for message in text:gmatch("[^%z]+") do
    local before, after = message:match("^(.-){n}(.*)$")
    requests[#requests + 1] = { before or message, after }
  end
  math.randomseed(tonumber(arguments[3]))
end

function request()
  local picked = requests[#requests > 1 and math.random(#requests) or 1]
  if picked[2] then
    return picked[1] .. math.random(n_max) .. picked[2]
  end
  return picked[1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"bytes":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), summary.bytes,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
