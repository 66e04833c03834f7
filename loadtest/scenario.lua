-- One scenario for wrk. Arguments: the file with requests, separated by NUL bytes, and the largest {n}.
-- Each request is a whole HTTP message; its {n} is drawn at random each time. done() prints one line of JSON.

local requests = {}
local n_max = 1
-- Every request of a scenario that has one: joining strings for each would be a part of what is measured.
local ready = nil
local READY_MAX = 50000

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
  if #requests == 1 and requests[1][2] and n_max <= READY_MAX then
    ready = {}
    for n = 1, n_max do
      ready[n] = requests[1][1] .. n .. requests[1][2]
    end
  end
end

function request()
  if ready then
    return ready[math.random(n_max)]
  end
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
