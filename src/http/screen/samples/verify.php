<?php
// Whether a request is ours and fresh. $body is file_get_contents('php://input').
function verify(string $secret, array $headers, string $body): bool {
    $signedAt = $headers['webhook-timestamp'];
    if (abs(time() - (int) $signedAt) > 300) {
        return false;
    }
    $key = base64_decode(substr($secret, strlen('whsec_')));
    $text = $headers['webhook-id'] . '.' . $signedAt . '.' . $body;
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $text, $key, true));
    foreach (explode(' ', $headers['webhook-signature']) as $given) {
        if (hash_equals($expected, $given)) {
            return true;
        }
    }
    return false;
}
