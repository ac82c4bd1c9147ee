"""Models only, over the standard library: datamodel-code-generator."""

import json
import sys
import urllib.request

from generated_models import Message, Published, Save, Webhook

base, token, message = sys.argv[1:]


def call(method, path, body=None):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(base + "/v1/workspaces/models" + path, body, headers, method=method)
    with urllib.request.urlopen(request) as response:
        return response.read()


def text(model):
    return model.model_dump_json(by_alias=True, exclude_unset=True).encode()


save = Save(url="https://crm.example.com/hook", enabled=False, owner_email="me@example.com")
call("PUT", "/webhook", text(save))
sent = Message.model_validate_json(message)
published = Published.model_validate_json(call("POST", "/messages", text(sent)))
webhook = Webhook.model_validate_json(call("GET", "/webhook"))
print(json.dumps({
    "webhook": json.loads(text(webhook)),
    "name": sent.contact.full_name,
    "others": [sent.contact.labels, sent.custom],
    "id": published.id.root,
    "sent": json.loads(text(sent)),
}))
