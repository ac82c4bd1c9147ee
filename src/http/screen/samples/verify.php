<?php
// Whether a request is ours and fresh. $headers is getallheaders(), $_SERVER or what your framework has; $body is
// file_get_contents('php://input').
function verify(string $secret, array $headers, string $body): bool {
    $found = ['id' => '', 'timestamp' => '', 'signature' => ''];
    foreach ($headers as $name => $value) {
        if (preg_match('/^(?:http.)?webhook.(id|timestamp|signature)$/i', (string) $name, $part)) {
            $found[strtolower($part[1])] = is_array($value) ? implode(' ', $value) : (string) $value;
        }
    }
    if (!ctype_digit($found['timestamp']) || abs(time() - (int) $found['timestamp']) > 300) {
        return false;
    }
    $key = base64_decode(substr($secret, strlen('whsec_')));
    $text = $found['id'] . '.' . $found['timestamp'] . '.' . $body;
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $text, $key, true));
    foreach (explode(' ', $found['signature']) as $given) {
        if (hash_equals($expected, $given)) {
            return true;
        }
    }
    return false;
}
