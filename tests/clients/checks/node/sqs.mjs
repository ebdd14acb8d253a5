// SQS through @aws-sdk/client-sqs, which verifies the MD5 of every body that it sends and receives by itself.

import { randomUUID } from "node:crypto";
import { check, equal, main, refused, sdk, sleep, truth } from "./harness.mjs";

const sqs = sdk("@aws-sdk/client-sqs");

class World {
  constructor({ aws }) {
    this.aws = aws;
    this.client = this.connect();
    this.queues = [];
  }

  connect(changes = {}) {
    const credentials = { accessKeyId: this.aws.access_key_id, secretAccessKey: this.aws.secret_access_key };
    // No retries: a check must see the service's own answer.
    const settings = { endpoint: this.aws.sqs_endpoint, region: this.aws.region, credentials, maxAttempts: 1 };
    return new sqs.SQSClient({ ...settings, ...changes });
  }

  ask(command, input) {
    return this.client.send(new sqs[`${command}Command`](input));
  }

  async queue(attributes = {}) {
    const suffix = attributes.FifoQueue ? ".fifo" : "";
    const QueueName = `check-${randomUUID()}${suffix}`;
    const { QueueUrl } = await this.ask("CreateQueue", { QueueName, Attributes: attributes });
    this.queues.push(QueueUrl);
    return QueueUrl;
  }

  send(QueueUrl, MessageBody, more = {}) {
    return this.ask("SendMessage", { QueueUrl, MessageBody, ...more });
  }

  async receive(QueueUrl, more = {}) {
    return (await this.ask("ReceiveMessage", { QueueUrl, MaxNumberOfMessages: 10, ...more })).Messages ?? [];
  }

  async counts(QueueUrl) {
    const names = ["", "NotVisible", "Delayed"].map((suffix) => `ApproximateNumberOfMessages${suffix}`);
    const { Attributes } = await this.ask("GetQueueAttributes", { QueueUrl, AttributeNames: names });
    return names.map((name) => Number(Attributes[name]));
  }

  async cleanUp() {
    await Promise.all(this.queues.splice(0).map((QueueUrl) => this.ask("DeleteQueue", { QueueUrl })));
  }
}

const bodies = (messages) => messages.map((message) => message.Body);

check(
  "A body comes back as it was sent. [API] SendMessage, ReceiveMessage. [Client] the client compares MD5OfMessageBody.",
  async function a_message_comes_back_as_it_was_sent(world) {
    const url = await world.queue();
    for (const body of ["plain", "äöü € 𝄞 \u2028", '{"a": "\\"quoted\\""}', "x".repeat(1_048_576)]) {
      const sent = await world.send(url, body);
      const [message] = await world.receive(url);
      equal([message.MessageId, message.Body], [sent.MessageId, body]);
      await world.ask("DeleteMessage", { QueueUrl: url, ReceiptHandle: message.ReceiptHandle });
    }
    equal(await world.counts(url), [0, 0, 0]);
  },
);

check(
  "Texts, numbers and bytes as message attributes come back with their types. [Guide] Message metadata.",
  async function message_attributes_come_back(world) {
    const url = await world.queue();
    const attributes = {
      text: { DataType: "String", StringValue: "ä" },
      number: { DataType: "Number.int", StringValue: "42" },
      bytes: { DataType: "Binary", BinaryValue: Uint8Array.from({ length: 256 }, (_, at) => at) },
    };
    await world.send(url, "x", { MessageAttributes: attributes });
    const [message] = await world.receive(url, { MessageAttributeNames: ["All"] });
    message.MessageAttributes.bytes.BinaryValue = Uint8Array.from(message.MessageAttributes.bytes.BinaryValue);
    equal(message.MessageAttributes, attributes);
  },
);

check(
  "A batch has one outcome per entry. [API] SendMessageBatch.",
  async function a_batch_has_one_outcome_per_entry(world) {
    const url = await world.queue({ MaximumMessageSize: "1024" });
    const entries = [["good", "1"], ["character", "\u0001"], ["size", "x".repeat(1025)]];
    const Entries = entries.map(([Id, MessageBody]) => ({ Id, MessageBody }));
    const answer = await world.ask("SendMessageBatch", { QueueUrl: url, Entries });
    equal(answer.Successful.map(({ Id }) => Id), ["good"]);
    equal(answer.Failed.map(({ Id, Code, SenderFault }) => [Id, Code, SenderFault]), [
      ["character", "InvalidMessageContents", true],
      ["size", "InvalidParameterValue", true],
    ]);
    equal(bodies(await world.receive(url)), ["1"]);
  },
);

check(
  "Errors arrive as the classes of the service's model. [Model] aws.protocols#awsQueryError, httpError.",
  async function errors_have_their_class_and_status(world) {
    const url = await world.queue();
    const missing = { name: "QueueDoesNotExist" };
    const error = await refused(missing, () => world.send(`${url}-not-there`, "x"));
    truth(error instanceof sqs.QueueDoesNotExist, "it is not the SDK's own class");
    equal(error.$metadata.httpStatusCode, 400);
    const handle = { QueueUrl: url, ReceiptHandle: "garbage" };
    await refused({ name: "ReceiptHandleIsInvalid" }, () => world.ask("DeleteMessage", handle));
    await refused({ name: "EmptyBatchRequest" }, () => world.ask("SendMessageBatch", { QueueUrl: url, Entries: [] }));
    equal(await world.receive(url), []);
  },
);

check(
  "A long poll waits its time, and no longer once a message comes. [Guide] Short and long polling.",
  async function a_long_poll_waits_and_wakes(world) {
    const url = await world.queue();
    let start = Date.now();
    equal(await world.receive(url, { WaitTimeSeconds: 1 }), []);
    truth(Date.now() - start > 950, "it did not wait");
    start = Date.now();
    setTimeout(() => world.send(url, "woken"), 400);
    equal(bodies(await world.receive(url, { WaitTimeSeconds: 10 })), ["woken"]);
    truth(Date.now() - start < 2000, "it was not woken");
  },
);

check(
  "A receive that is aborted takes no message along. [Ours] a closed connection cannot receive.",
  async function an_aborted_receive_takes_no_message_along(world) {
    const url = await world.queue();
    for (let round = 0; round < 3; round += 1) {
      const command = new sqs.ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20 });
      await refused({ name: "AbortError" }, () => world.client.send(command, { abortSignal: AbortSignal.timeout(200) }));
    }
    await sleep(100);
    await world.send(url, "kept");
    equal(bodies(await world.receive(url, { WaitTimeSeconds: 1 })), ["kept"]);
  },
);

check(
  "A message is hidden for its visibility timeout, which can be changed. [Guide] Visibility timeout.",
  async function visibility_hides_and_can_be_changed(world) {
    const url = await world.queue({ VisibilityTimeout: "30" });
    await world.send(url, "x");
    const [first] = await world.receive(url);
    equal([await world.counts(url), await world.receive(url)], [[0, 1, 0], []]);
    const change = { QueueUrl: url, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: 0 };
    await world.ask("ChangeMessageVisibility", change);
    const [second] = await world.receive(url, { MessageSystemAttributeNames: ["ApproximateReceiveCount"] });
    equal([second.MessageId, second.Attributes.ApproximateReceiveCount], [first.MessageId, "2"]);
  },
);

check(
  "What was received too often moves to the dead-letter queue, and a task moves it back. [Guide] Dead-letter queues.",
  async function dead_letters_go_and_come_back(world) {
    const dead = await world.queue();
    const { Attributes } = await world.ask("GetQueueAttributes", { QueueUrl: dead, AttributeNames: ["QueueArn"] });
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes.QueueArn, maxReceiveCount: 1 });
    const url = await world.queue({ RedrivePolicy, VisibilityTimeout: "0" });
    await world.send(url, "poison");
    equal([bodies(await world.receive(url)), bodies(await world.receive(url))], [["poison"], []]);
    equal((await world.counts(dead))[0], 1);
    await world.ask("StartMessageMoveTask", { SourceArn: Attributes.QueueArn });
    equal(bodies(await world.receive(url, { WaitTimeSeconds: 5 })), ["poison"]);
  },
);

check(
  "A FIFO queue keeps the order of a group and drops duplicates. [Guide] FIFO queues: exactly-once processing.",
  async function a_fifo_queue_keeps_order_and_drops_duplicates(world) {
    const url = await world.queue({ FifoQueue: "true" });
    for (const name of ["a", "b", "b", "c"]) {
      await world.send(url, name, { MessageGroupId: "g", MessageDeduplicationId: name });
    }
    equal(bodies(await world.receive(url)), ["a", "b", "c"]);
    const again = { MessageGroupId: "g", MessageDeduplicationId: "d", DelaySeconds: 2 };
    await refused({ name: "InvalidParameterValue" }, () => world.send(url, "x", again));
  },
);

check(
  "Listing goes page by page. [API] ListQueues, MaxResults and NextToken.",
  async function queues_are_listed_page_by_page(world) {
    const prefix = `check-${randomUUID()}`;
    for (let at = 0; at < 5; at += 1) {
      const { QueueUrl } = await world.ask("CreateQueue", { QueueName: `${prefix}-${at}` });
      world.queues.push(QueueUrl);
    }
    const pages = [];
    const paginator = sqs.paginateListQueues({ client: world.client, pageSize: 2 }, { QueueNamePrefix: prefix });
    for await (const page of paginator) pages.push(page.QueueUrls);
    equal(pages.map((page) => page.length), [2, 2, 1]);
    equal(pages.flat(), world.queues);
  },
);

check(
  "An unknown access key is refused. [API] Common errors: InvalidClientTokenId.",
  async function strangers_are_not_let_in(world) {
    const stranger = world.connect({ credentials: { accessKeyId: "stranger", secretAccessKey: "x" } });
    await refused({ name: "InvalidClientTokenId" }, () => stranger.send(new sqs.ListQueuesCommand({})));
  },
);

await main((ready) => new World(ready));
