import { createHmac, timingSafeEqual } from "node:crypto";

// Whether a request is ours and fresh. `headers` is Node's object or a Headers, `body` the Buffer as it came.
export function verify(secret, headers, body) {
  const pairs = typeof headers.entries === "function" ? headers.entries() : Object.entries(headers);
  const found = Object.fromEntries([...pairs].map(([name, value]) => [name.toLowerCase(), String(value)]));
  const { "webhook-id": id, "webhook-timestamp": signedAt, "webhook-signature": signatures } = found;
  if (!id || !signatures || !(Math.abs(Date.now() / 1000 - Number(signedAt)) <= 300)) return false;
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const hmac = createHmac("sha256", key).update(`${id}.${signedAt}.`).update(body);
  const expected = Buffer.from("v1," + hmac.digest("base64"));
  return signatures.split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
