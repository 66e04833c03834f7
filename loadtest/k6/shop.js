// The scenarios of ../scenarios.json for k6 (k6.io), against a server that serves the sample shop (../shop.sql).
//
//   k6 run -e SCENARIO=one_row -e BASE=http://127.0.0.1:3000 shop.js        16 users, as fast as answers come
//   k6 run -e SCENARIO=one_row -e RATE=5000 shop.js                         open loop: 5,000 requests/s
//
// SECRET is the server's jwt-secret, for the scenarios with tokens; SECONDS (10) the length of the run.

import { check } from "k6";
import crypto from "k6/crypto";
import encoding from "k6/encoding";
import http from "k6/http";

const scenarios = JSON.parse(open("../scenarios.json")).filter((scenario) => !scenario.kind);
const name = __ENV.SCENARIO || "one_row";
const scenario = scenarios.find((one) => one.name === name);
if (!scenario) {
  throw new Error(`no scenario ${name}; there are ${scenarios.map((one) => one.name).join(", ")}`);
}

const base = __ENV.BASE || "http://127.0.0.1:3000";
const secret = __ENV.SECRET || "the load test's secret, longer than thirty-two bytes";
const duration = `${__ENV.SECONDS || 10}s`;
const body = "body" in scenario ? JSON.stringify(repeated(scenario)) : null;
const bodies = scenario.bodies || 1;
const tokens = Array.from({ length: scenario.tokens || 0 }, (_, number) => token(number));

export const options = {
  scenarios: {
    [name]: __ENV.RATE
      ? { executor: "constant-arrival-rate", rate: Number(__ENV.RATE), timeUnit: "1s", duration, preAllocatedVUs: 64, maxVUs: 1000 }
      : { executor: "constant-vus", vus: 16, duration },
  },
  thresholds: { checks: ["rate==1"] },
  summaryTrendStats: ["med", "p(90)", "p(99)", "max"],
  discardResponseBodies: true,
};

export default function () {
  const number = 1 + Math.floor(Math.random() * (scenario.n_max || 1));
  const headers = Object.assign({}, scenario.headers);
  if (tokens.length > 0) {
    headers.Authorization = `Bearer ${tokens[Math.floor(Math.random() * tokens.length)]}`;
  }
  // One name for all numbers, so that k6 keeps one time series.
  const params = { headers, tags: { name }, responseCallback: http.expectedStatuses(scenario.status) };
  const sent = body && body.replace('"{b}"', 1 + Math.floor(Math.random() * bodies));
  const answer = http.request(scenario.method, base + scenario.path.replace("{n}", number), sent, params);
  check(answer, { [`status ${scenario.status}`]: (seen) => seen.status === scenario.status });
}

function repeated({ body, body_repeat }) {
  return body_repeat ? Array.from({ length: body_repeat }, () => body[0]) : body;
}

function token(number) {
  const part = (value) => encoding.b64encode(JSON.stringify(value), "rawurl");
  const claims = { role: "customer", sub: `user ${number}`, exp: 4102444800 };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${crypto.hmac("sha256", secret, signed, "base64rawurl")}`;
}
