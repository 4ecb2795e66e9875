// @deepgram/sdk 3 and 4: recorded, live and management. The argument names the package.
import { readFileSync } from "node:fs";

const { createClient, LiveTranscriptionEvents } = await import(process.argv[2]);
const url = process.env.ALDEA_URL;
const client = createClient(process.env.ALDEA_KEY, {
  global: { fetch: { options: { url } }, websocket: { options: { url: url.replace("http", "ws") } } },
});

const { result, error } = await client.listen.prerecorded.transcribeFile(readFileSync("sample.wav"), { model: "nova-3", punctuate: true });
if (error) throw error;
show("recorded", result.metadata.request_id, result.results.channels[0].alternatives[0].transcript);

const connection = client.listen.live({ model: "nova-3", interim_results: true });
const words = [];
let id;
connection.on(LiveTranscriptionEvents.Open, () => {
  connection.send(readFileSync("sample.wav"));
  connection.requestClose();
});
connection.on(LiveTranscriptionEvents.Transcript, (message) => {
  if (message.is_final) words.push(message.channel.alternatives[0].transcript);
});
connection.on(LiveTranscriptionEvents.Metadata, (message) => (id = message.request_id));
connection.on(LiveTranscriptionEvents.Error, (failure) => {
  console.error(failure);
  process.exit(1);
});
connection.on(LiveTranscriptionEvents.Close, async () => {
  show("live", id, words.join(" "));
  await manage(result.metadata.request_id);
  process.exit(0);
});

async function manage(requestId) {
  const api = client.manage;
  // Each returns an error instead of throwing it.
  const call = async (name, ...given) => {
    const { result, error } = await api[name](...given);
    if (error) throw new Error(`${name}: ${error.message}`);
    return result;
  };
  const filled = (name, value) => {
    if (value === undefined || value === null || value.length === 0) throw new Error(`${name}: nothing in it`);
    return value;
  };
  filled("getTokenDetails", (await call("getTokenDetails")).scopes);
  const project = (await call("getProjects")).projects[0].project_id;
  filled("getProject", (await call("getProject", project)).name);
  await call("updateProject", project, { name: "Demo" });
  const made = await call("createProjectKey", project, { comment: "js", scopes: ["usage:read"], time_to_live_in_seconds: 300 });
  filled("getProjectKeys", (await call("getProjectKeys", project)).api_keys[0].api_key.api_key_id);
  const key = await call("getProjectKey", project, made.api_key_id);
  filled("getProjectKey", key.api_key.comment);
  filled("getProjectKey", key.member.email);
  await call("deleteProjectKey", project, made.api_key_id);
  const [member] = (await call("getProjectMembers", project)).members;
  filled("getProjectMemberScopes", (await call("getProjectMemberScopes", project, member.member_id)).scopes);
  await call("sendProjectInvite", project, { email: "{js}@example.com", scope: "member" });
  filled("getProjectInvites", (await call("getProjectInvites", project)).invites);
  await call("deleteProjectInvite", project, "{js}@example.com");
  const { requests } = await call("getProjectUsageRequests", project, { limit: 10, page: 0, status: "succeeded" });
  filled("getProjectUsageRequests", requests[0].response.details.models);
  let request = await call("getProjectUsageRequest", project, requestId);
  // Usage is there some seconds after the response.
  for (let tries = 0; !request.response && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    request = await call("getProjectUsageRequest", project, requestId);
  }
  filled("getProjectUsageRequest", request.response.completed);
  const start = new Date(Date.now() - 864e5).toISOString();
  const summary = { start, end: new Date().toISOString(), method: "sync", punctuate: true };
  filled("getProjectUsageSummary", (await call("getProjectUsageSummary", project, summary)).results);
  filled("getProjectUsageFields", (await call("getProjectUsageFields", project, {})).models);
  const [balance] = (await call("getProjectBalances", project)).balances;
  filled("getProjectBalance", (await call("getProjectBalance", project, balance.balance_id)).amount);
  const [model] = (await call("getAllModels", project)).stt;
  filled("getModel", (await call("getModel", project, model.uuid)).name);
  const left = await api.leaveProject(project);
  if (!left.error) throw new Error("leaveProject: a key left the project");
  console.log(JSON.stringify({ wire: "management" }));
}

function show(wire, request_id, transcript) {
  console.log(JSON.stringify({ wire, request_id, transcript }));
}
