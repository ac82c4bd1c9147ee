"""A client: openapi-python-client."""

import json
import sys

from generated_client import AuthenticatedClient
from generated_client.api.messages import publish_message
from generated_client.api.webhook import save_webhook, show_webhook
from generated_client.models import Message, Save, Webhook

base, token, message = sys.argv[1:]
client = AuthenticatedClient(base_url=base, token=token, raise_on_unexpected_status=True)
save = Save(url="https://crm.example.com/hook", enabled=False, owner_email="me@example.com")
saved = save_webhook.sync(workspace="python", client=client, body=save)
assert isinstance(saved, Webhook), saved
sent = Message.from_dict(json.loads(message))
published = publish_message.sync(workspace="python", client=client, body=sent)
webhook = show_webhook.sync(workspace="python", client=client)
print(json.dumps({
    "webhook": webhook.to_dict(),
    "name": sent.contact.full_name,
    "others": [sent.contact["labels"], sent["custom"]],
    "id": published.id,
    "sent": sent.to_dict(),
}))
