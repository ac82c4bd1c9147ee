// Types only, over fetch: openapi-typescript.
import type { components } from "./generated/types";

declare const process: { argv: string[] };

type Schemas = components["schemas"];

const [base, token, message] = process.argv.slice(2);

async function call<Answer>(method: string, path: string, body?: string): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(`${base}/v1/workspaces/typed${path}`, { method, headers, body });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as Answer;
}

async function main() {
  const save: Schemas["Save"] = { url: "https://crm.example.com/hook", enabled: false, owner_email: "me@example.com" };
  await call<Schemas["Webhook"]>("PUT", "/webhook", JSON.stringify(save));
  const sent: Schemas["Message"] = JSON.parse(message);
  const published = await call<Schemas["Published"]>("POST", "/messages", JSON.stringify(sent));
  const webhook = await call<Schemas["Webhook"]>("GET", "/webhook");
  const name = sent.contact["full name"];
  console.log(JSON.stringify({ webhook, name, others: [sent.contact.labels, sent.custom], id: published.id, sent }));
}

void main();
