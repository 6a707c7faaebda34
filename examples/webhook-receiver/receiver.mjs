// A receiver of BIMIP's webhook. Run: BIMIP_PUSH_WEBHOOK_SECRET=… PORT=8080 node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const SECRET = process.env.BIMIP_PUSH_WEBHOOK_SECRET;
const TOLERANCE_S = 300;
const MAX_BYTES = 1_048_576;

/** Why a call is not to be believed, or undefined if it is genuine. `body` is the bytes as they came. */
function problemOf(headers, body) {
  const timestamp = headers["bimip-timestamp"] ?? "";
  if (!/^\d+$/.test(timestamp)) return "no timestamp";
  if (Math.abs(Date.now() / 1_000 - Number(timestamp)) > TOLERANCE_S) return "too old";
  const hmac = createHmac("sha256", SECRET).update(`${timestamp}.`).update(body).digest("hex");
  const wanted = Buffer.from(`v1=${hmac}`);
  const given = Buffer.from(headers["bimip-signature"] ?? "");
  // In constant time: how long it takes must not tell how much of a guess was right.
  const genuine = given.length === wanted.length && timingSafeEqual(given, wanted);
  return genuine ? undefined : "wrong signature";
}

// In production: a table with a unique key, so that it survives a restart.
const seen = new Set();

/** The status to answer with, and a text. */
async function receive(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BYTES) return [413, "too large"];
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const problem = problemOf(request.headers, body);
  if (problem !== undefined) return [401, problem];

  const push = JSON.parse(body);
  if (seen.has(push.id)) return [200, "known"];
  // Hand it to your push service here, and answer 2xx only once it is safe there.
  process.stdout.write(`${push.kind} for ${push.eid}, ${push.badge ?? "?"} unread\n`);
  seen.add(push.id);
  return [200, "taken"];
}

const server = createServer((request, response) => {
  receive(request).then(
    ([status, text]) => response.writeHead(status).end(text),
    () => response.destroy(),
  );
});

server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  process.stdout.write(`listening on http://127.0.0.1:${server.address().port}\n`);
});
