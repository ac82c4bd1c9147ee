import base64, hashlib, hmac, time


def verify(secret, headers, body):
    """Whether a request is ours and fresh. `headers` as your framework has them, `body` the bytes as they came."""
    found = {name.lower().replace("_", "-").removeprefix("http-"): value for name, value in headers.items()}
    message_id, signed_at, given = (found.get("webhook-" + part, "") for part in ("id", "timestamp", "signature"))
    try:
        if abs(time.time() - int(signed_at)) > 300:
            return False
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.digest(key, f"{message_id}.{signed_at}.".encode() + body, hashlib.sha256))
        return any(hmac.compare_digest(b"v1," + expected, one.encode()) for one in given.split(" "))
    except (ValueError, OverflowError):  # something in it is garbled
        return False
