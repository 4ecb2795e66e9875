// @deepgram/sdk 5: recorded, live and management.
import { createReadStream, readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";

const http = process.env.ALDEA_URL;
const ws = http.replace("http", "ws");
const client = new DeepgramClient({
  apiKey: process.env.ALDEA_KEY,
  environment: { base: http, production: ws, agent: ws, agentRest: http },
});

const found = await client.listen.v1.media.transcribeFile(createReadStream("sample.wav"), { model: "nova-3", punctuate: true });
show("recorded", found.metadata.request_id, found.results.channels[0].alternatives[0].transcript);

const connection = await client.listen.v1.connect({ model: "nova-3", interim_results: "true" });
connection.connect();
await connection.waitForOpen();
connection.sendMedia(readFileSync("sample.wav"));
connection.sendCloseStream({ type: "CloseStream" });
const words = [];
let id;
for await (const message of connection) {
  if (message.type === "Results" && message.is_final) words.push(message.channel.alternatives[0].transcript);
  if (message.type === "Metadata") id = message.request_id;
  if (message.type === "Metadata" && message.duration > 0) break;
}
show("live", id, words.join(" "));
await manage(found.metadata.request_id);
process.exit(0);

async function manage(requestId) {
  const { projects, models } = client.manage.v1;
  const project = (await projects.list()).projects[0].project_id;
  const made = await projects.keys.create(project, { comment: "js", scopes: ["usage:read"], time_to_live_in_seconds: 300 });
  const [member] = (await projects.members.list(project)).members;
  await projects.members.invites.create(project, { email: "{js}@example.com", scope: "member" });
  const [model] = (await models.list({ include_outdated: true })).stt;
  const [balance] = (await projects.billing.balances.list(project)).balances;
  const seen = {
    token: (await client.auth.v1.tokens.grant({ ttl_seconds: 30 })).access_token,
    project: (await projects.get(project)).name,
    updated: (await projects.update(project, { name: "Demo" })).message,
    model: (await models.get(model.uuid)).name,
    projectModels: (await projects.models.list(project)).stt[0].name,
    projectModel: (await projects.models.get(project, model.uuid)).name,
    keys: (await projects.keys.list(project, { status: "active" })).api_keys[0].api_key.api_key_id,
    key: (await projects.keys.get(project, made.api_key_id)).item.member.api_key.comment,
    deleted: (await projects.keys.delete(project, made.api_key_id)) ?? {},
    scopes: (await projects.members.scopes.list(project, member.member_id)).scopes,
    invites: (await projects.members.invites.list(project)).invites[0].email,
    withdrawn: (await projects.members.invites.delete(project, "{js}@example.com")).message,
    requests: (await projects.requests.list(project, { limit: 10, status: "succeeded" })).requests[0].code,
    request: (await projects.requests.get(project, requestId)).request.request_id,
    usage: (await projects.usage.get(project, { method: "sync", punctuate: true })).results,
    breakdown: (await projects.usage.breakdown.get(project, { grouping: "models" })).results,
    fields: (await projects.usage.fields.list(project)).models,
    balance: (await projects.billing.balances.get(project, balance.balance_id)).amount,
    bill: (await projects.billing.breakdown.list(project, { grouping: ["line_item"] })).results,
    billFields: (await projects.billing.fields.list(project)).accessors,
    purchases: (await projects.billing.purchases.list(project)).orders,
  };
  const empty = Object.keys(seen).filter((name) => seen[name] === undefined || seen[name] === null || seen[name].length === 0);
  if (empty.length > 0) throw new Error(`nothing in ${empty}`);
  console.log(JSON.stringify({ wire: "management" }));
}

function show(wire, request_id, transcript) {
  console.log(JSON.stringify({ wire, request_id, transcript }));
}
