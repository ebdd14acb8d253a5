// A bridge by hand, Azure side: Service Bus to Cosmos DB with last-writer-wins, forwarded to SQS.
// Many messages are in flight at once. Sends to SQS take along whatever waits.
import { readFileSync } from "node:fs";
import { CosmosClient } from "@azure/cosmos";
import { SendMessageBatchCommand, SQSClient } from "@aws-sdk/client-sqs";
import { ServiceBusClient } from "@azure/service-bus";
import { expiry, readEvent, record, sites } from "./event.mjs";

const IN_FLIGHT = 64;
const SENDS_AT_ONCE = 4;

const { aws, azure } = sites(JSON.parse(readFileSync(process.argv[2], "utf8")));
const sqs = new SQSClient({
  region: aws.region,
  credentials: { accessKeyId: aws.access_key_id, secretAccessKey: aws.secret_access_key },
  endpoint: aws.sqs_endpoint,
});
// Its own agent keeps connections open.
const cosmos = new CosmosClient({ endpoint: azure.cosmos_endpoint, key: azure.cosmos_key });
const container = cosmos.database(azure.database).container(azure.container);
const bus = new ServiceBusClient(azure.service_bus_connection_string);
// The body as it came: what is forwarded must be the same bytes.
const receiver = bus.createReceiver(azure.queue, { skipParsingBodyAsJson: true });

const waiting = [];
let sending = 0;

function forward(body) {
  return new Promise((resolve, reject) => {
    waiting.push({ body, resolve, reject });
    // After the messages that arrived together had their turn.
    setImmediate(send);
  });
}

async function send() {
  if (sending === SENDS_AT_ONCE || waiting.length === 0) return;
  sending += 1;
  const batch = waiting.splice(0, 10);
  const Entries = batch.map(({ body }, at) => ({
    Id: String(at),
    MessageBody: body,
    MessageAttributes: { bridge_forwarded_by: { DataType: "String", StringValue: azure.name } },
  }));
  try {
    const { Failed = [] } = await sqs.send(new SendMessageBatchCommand({ QueueUrl: aws.queue_url, Entries }));
    for (const { Id, Code } of Failed) batch[Number(Id)].reject(new Error(Code));
    for (const { resolve } of batch) resolve();
  } catch (error) {
    for (const { reject } of batch) reject(error);
  }
  sending -= 1;
  send();
}

async function handle(message) {
  const body = typeof message.body === "string" ? message.body : message.body.toString("utf8");
  let event;
  try {
    event = readEvent(body);
  } catch (error) {
    return receiver.deadLetterMessage(message, { deadLetterReason: "unreadable", deadLetterErrorDescription: String(error) });
  }
  await Promise.all([write(event), event.source === azure.name ? forward(body) : undefined]);
  await receiver.completeMessage(message);
}

async function write(event) {
  const expires = event.deleted ? { ttl: expiry(event).left } : { payload: event.payload };
  const item = { id: event.key, ...record(event, azure.name), ...expires };
  const at = container.item(event.key, event.key);
  for (;;) {
    const { resource: stored, statusCode } = await at.read();
    try {
      if (statusCode === 404) await container.items.create(item);
      else if (event.version > stored.version) {
        await at.replace(item, { accessCondition: { type: "IfMatch", condition: stored._etag } });
      }
      return;
    } catch (error) {
      // Another write of this key came in between.
      if (error.code !== 409 && error.code !== 412) throw error;
    }
  }
}

// The client looks up account and partition key once, and not in each of the first calls.
await container.read();
const subscription = receiver.subscribe(
  { processMessage: handle, processError: async ({ error }) => console.error(error) },
  { maxConcurrentCalls: IN_FLIGHT, autoCompleteMessages: false },
);
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, async () => {
    await subscription.close();
    await bus.close();
    process.exit(0);
  });
}
