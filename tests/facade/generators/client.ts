// A client: @hey-api/openapi-ts.
import { client } from "./generated/sdk/client.gen";
import { publishMessage, saveWebhook, showWebhook } from "./generated/sdk/sdk.gen";
import type { Message } from "./generated/sdk/types.gen";

declare const process: { argv: string[] };

const [base, token, message] = process.argv.slice(2);

async function main() {
  client.setConfig({ baseUrl: base, auth: token, throwOnError: true });
  const path = { workspace: "client" };
  await saveWebhook({
    path,
    body: { url: "https://crm.example.com/hook", enabled: false, owner_email: "me@example.com" },
    throwOnError: true,
  });
  const sent: Message = JSON.parse(message);
  const { data: published } = await publishMessage({ path, body: sent, throwOnError: true });
  const { data: webhook } = await showWebhook({ path, throwOnError: true });
  const id = "id" in published ? published.id : undefined;
  console.log(JSON.stringify({ webhook, name: sent.contact["full name"], others: [sent.contact.labels, sent.custom], id, sent }));
}

void main();
