// A webhook sender on BullMQ, as its documentation advises: one worker with a concurrency, jobs that are removed when
// they are done, undici's agent with kept connections. `fill` makes a job of every line of the standard input,
// `work` delivers until it is killed.
import { createInterface } from "node:readline";
import { Queue, Worker } from "bullmq";
import { Agent, request, setGlobalDispatcher } from "undici";

const [role, redis, concurrency] = process.argv.slice(2);
const QUEUE = "webhooks";
const JOBS_AT_ONCE = 1000;
const connection = { url: redis, maxRetriesPerRequest: null };

async function fill() {
  const queue = new Queue(QUEUE, { connection, defaultJobOptions: { removeOnComplete: true, attempts: 1 } });
  let jobs = [];
  for await (const line of createInterface({ input: process.stdin })) {
    const [url, message] = line.split("\t");
    jobs.push({ name: "message", data: { url, message } });
    if (jobs.length === JOBS_AT_ONCE) await queue.addBulk(jobs.splice(0));
  }
  if (jobs.length > 0) await queue.addBulk(jobs);
  await queue.close();
}

function work() {
  setGlobalDispatcher(new Agent({ headersTimeout: 5000, bodyTimeout: 5000 }));
  const deliver = async ({ data }) => {
    const body = `{"message":${data.message}}`;
    const answer = await request(data.url, { method: "POST", headers: { "content-type": "application/json" }, body });
    await answer.body.dump();
    if (answer.statusCode < 200 || answer.statusCode > 209) throw new Error(`status ${answer.statusCode}`);
    return answer.statusCode;
  };
  new Worker(QUEUE, deliver, { connection, concurrency: Number(concurrency) });
}

if (role === "fill") await fill();
else work();
