import { createHmac, timingSafeEqual } from "node:crypto";

// Whether a request is ours and fresh. `body` is the Buffer as it came.
export function verify(secret, headers, body) {
  const signedAt = headers["webhook-timestamp"];
  if (!(Math.abs(Date.now() / 1000 - Number(signedAt)) <= 300)) return false;
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const hmac = createHmac("sha256", key).update(`${headers["webhook-id"]}.${signedAt}.`).update(body);
  const expected = Buffer.from("v1," + hmac.digest("base64"));
  return headers["webhook-signature"].split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
