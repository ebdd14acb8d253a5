// A bridge by hand, AWS side: SQS to DynamoDB with last-writer-wins, forwarded to Service Bus.
// Clients live as long as the process; requests to SQS and sends to Service Bus are batches.
import { readFileSync } from "node:fs";
import { ConditionalCheckFailedException, DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { DeleteMessageBatchCommand, ReceiveMessageCommand, SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { ServiceBusClient } from "@azure/service-bus";
import { expiry, readEvent, record, sites } from "./event.mjs";

const POLLERS = 4;

const { aws, azure } = sites(JSON.parse(readFileSync(process.argv[2], "utf8")));
const common = {
  region: aws.region,
  credentials: { accessKeyId: aws.access_key_id, secretAccessKey: aws.secret_access_key },
};
const sqs = new SQSClient({ ...common, endpoint: aws.sqs_endpoint });
const dynamodb = new DynamoDBClient({ ...common, endpoint: aws.dynamodb_endpoint });
const bus = new ServiceBusClient(azure.service_bus_connection_string);
const sender = bus.createSender(azure.queue);
const stopping = new AbortController();

async function poll() {
  while (!stopping.signal.aborted) {
    const request = new ReceiveMessageCommand({ QueueUrl: aws.queue_url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20 });
    const { Messages: messages = [] } = await sqs.send(request, { abortSignal: stopping.signal });
    if (messages.length > 0) await handle(messages);
  }
}

async function handle(messages) {
  const events = [];
  const done = [];
  for (const message of messages) {
    try {
      events.push({ message, event: readEvent(message.Body) });
    } catch {
      await sqs.send(new SendMessageCommand({ QueueUrl: aws.dead_letter_queue_url, MessageBody: message.Body }));
      done.push(message);
    }
  }
  const own = events.filter(({ event }) => event.source === aws.name).map(({ message }) => message.Body);
  const [forwarded, ...writes] = await Promise.allSettled([forward(own), ...events.map(({ event }) => write(event))]);
  if (forwarded.status === "rejected") console.error("forwarding:", forwarded.reason);
  for (const [at, { message, event }] of events.entries()) {
    if (writes[at].status === "rejected") console.error(`${event.key}:`, writes[at].reason);
    else if (forwarded.status === "fulfilled" || event.source !== aws.name) done.push(message);
  }
  if (done.length === 0) return;
  const receipts = done.map((message, at) => ({ Id: String(at), ReceiptHandle: message.ReceiptHandle }));
  await sqs.send(new DeleteMessageBatchCommand({ QueueUrl: aws.queue_url, Entries: receipts }));
}

async function forward(bodies) {
  if (bodies.length === 0) return;
  let batch = await sender.createMessageBatch();
  for (const text of bodies) {
    const message = { body: Buffer.from(text), applicationProperties: { bridge_forwarded_by: aws.name } };
    if (batch.tryAddMessage(message)) continue;
    await sender.sendMessages(batch);
    batch = await sender.createMessageBatch();
    if (!batch.tryAddMessage(message)) throw new Error("a message is larger than a batch may be");
  }
  await sender.sendMessages(batch);
}

async function write(event) {
  const Item = Object.fromEntries(Object.entries(record(event, aws.name)).map(([name, value]) => [name, attribute(value)]));
  if (event.deleted) Item.expires_at = { N: String(expiry(event).at) };
  else Item.payload = attribute(event.payload);
  try {
    await dynamodb.send(
      new PutItemCommand({
        TableName: aws.table,
        Item,
        ConditionExpression: "attribute_not_exists(pk) OR version < :version",
        ExpressionAttributeValues: { ":version": { S: event.version } },
      }),
    );
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}

function attribute(value) {
  if (typeof value === "string") return { S: value };
  if (typeof value === "number") return { N: String(value) };
  if (typeof value === "boolean") return { BOOL: value };
  if (value === null) return { NULL: true };
  if (Array.isArray(value)) return { L: value.map(attribute) };
  return { M: Object.fromEntries(Object.entries(value).map(([name, member]) => [name, attribute(member)])) };
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => stopping.abort());
await Promise.all(
  Array.from({ length: POLLERS }, () =>
    poll().catch((error) => {
      if (!stopping.signal.aborted) throw error;
    }),
  ),
);
await bus.close();
