import base64, hashlib, hmac, time


def verify(secret, headers, body):
    """Whether a request is ours and fresh. `body` is the bytes as they came."""
    signed_at = headers["webhook-timestamp"]
    if abs(time.time() - int(signed_at)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{signed_at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    given = headers["webhook-signature"].split(" ")
    return any(hmac.compare_digest(expected, one) for one in given)
