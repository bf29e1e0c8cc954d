"""Verifies a webhook by Standard Webhooks and by the contract's older header, with nothing but Python's own HMAC.

Reads JSON on stdin: secret, body, and the header fields by their lower-case names. Prints "ok", or says what
is wrong and exits with 1.
"""

import base64
import hashlib
import hmac
import json
import sys

request = json.load(sys.stdin)
secret, body, headers = request["secret"], request["body"].encode(), request["headers"]

key = base64.b64decode(secret.removeprefix("whsec_"))
signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
if not any(hmac.compare_digest(expected, it) for it in headers["webhook-signature"].split(" ")):
    sys.exit("webhook-signature: none of them fits")

of_body = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
if request.get("contract", True) and not hmac.compare_digest(of_body, headers["x-lobstermail-signature"]):
    sys.exit("x-lobstermail-signature does not fit")
print("ok")
