// Service Bus through @azure/service-bus.

import { randomUUID } from "node:crypto";
import { Admin, check, equal, main, refused, sdk, sleep, truth } from "./harness.mjs";

const { ServiceBusClient } = sdk("@azure/service-bus");

/** Of the queues whose locks must end. */
const LOCK_MS = 1500;
const PATIENCE = { maxWaitTimeInMs: 5000 };
const NOTHING = { maxWaitTimeInMs: 300 };

class World {
  constructor({ azure, admin }) {
    this.azure = azure;
    this.admin = new Admin(admin, "service-bus");
    this.queues = [];
    // No retries: a check must see the service's own answer.
    this.bus = this.connect({ maxRetries: 0, timeoutInMs: 10_000 });
    this.open = [];
  }

  connect(retryOptions, connectionString = this.azure.service_bus_connection_string) {
    return new ServiceBusClient(connectionString, { retryOptions });
  }

  /** A queue that goes with the check. The client's own administration speaks TLS only, so this asks over HTTP itself. */
  async queue(settings = "") {
    const name = `check-${randomUUID()}`;
    const xmlns = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect";
    const description = `<QueueDescription xmlns="${xmlns}">${settings}</QueueDescription>`;
    const content = `<content type="application/xml">${description}</content>`;
    const body = `<entry xmlns="http://www.w3.org/2005/Atom">${content}</entry>`;
    const answer = await this.http("PUT", name, body);
    truth(answer.status === 201, `no queue: ${answer.status} ${await answer.text()}`);
    this.queues.push(name);
    return name;
  }

  http(method, path, body) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = { exp: Math.floor(Date.now() / 1000) + 600, aud: "https://servicebus.azure.net" };
    const authorization = `Bearer ${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.c2ln`;
    const headers = { authorization, "content-type": "application/atom+xml" };
    return fetch(`${this.azure.service_bus_http_endpoint}/${path}?api-version=2021-05`, { method, headers, body });
  }

  sender(queue) {
    return this.keep(this.bus.createSender(queue));
  }

  /** The client renews locks by itself unless told not to. */
  receiver(queue, options = {}) {
    return this.keep(this.bus.createReceiver(queue, { maxAutoLockRenewalDurationInMs: 0, ...options }));
  }

  keep(link) {
    this.open.push(link);
    return link;
  }

  async cleanUp() {
    await this.admin.restore();
    await Promise.allSettled(this.open.splice(0).map((link) => link.close()));
    await Promise.allSettled(this.queues.splice(0).map((name) => this.http("DELETE", name)));
  }
}

/** The client cannot settle a message without an id, so every message gets one. */
const message = (body, more = {}) => ({ body, messageId: randomUUID(), ...more });
const bodies = (messages) => messages.map(({ body }) => body);

/** So many messages, which must be there; the client may hand them over in several goes. */
async function some(receiver, count) {
  const got = [];
  while (got.length < count) {
    const more = await receiver.receiveMessages(count - got.length, PATIENCE);
    truth(more.length > 0, `expected ${count} messages, got ${got.length}`);
    got.push(...more);
  }
  return got;
}

const lock = (seconds) => `<LockDuration>PT${seconds}S</LockDuration>`;

check(
  "Body and properties arrive as sent. [Guide] Messages, payloads, and serialization.",
  async function a_message_comes_back_as_it_was_sent(world) {
    const queue = await world.queue();
    const sent = {
      body: { total: 1999, text: "äöü 😀" },
      messageId: "id-1",
      subject: "order",
      correlationId: "correlation",
      contentType: "application/json",
      applicationProperties: { text: "x", number: 5, ratio: 1.5, flag: true },
    };
    await world.sender(queue).sendMessages(sent);
    const [got] = await some(world.receiver(queue), 1);
    equal(Object.fromEntries(Object.keys(sent).map((name) => [name, got[name]])), sent);
    equal([got.deliveryCount, got.sequenceNumber > 0], [0, true]);
    truth(Math.abs(got.enqueuedTimeUtc - Date.now()) < 5000, `enqueued ${got.enqueuedTimeUtc}`);
  },
);

check(
  "A batch arrives whole and in order, and has its limit. [API] ServiceBusSender.createMessageBatch; quotas: 256 KB.",
  async function a_batch_arrives_whole_and_in_order(world) {
    const queue = await world.queue();
    const sender = world.sender(queue);
    const batch = await sender.createMessageBatch();
    equal(batch.maxSizeInBytes, 256 * 1024);
    for (let n = 0; n < 20; n += 1) truth(batch.tryAddMessage(message(n)), "it does not fit");
    await sender.sendMessages(batch);
    equal(bodies(await some(world.receiver(queue), 20)), Array.from({ length: 20 }, (_, n) => n));
    await refused({ code: "MessageSizeExceeded" }, () => sender.sendMessages(message("x".repeat(300_000))));
  },
);

check(
  "Complete, abandon, defer, dead-letter: each does its own. [Guide] Message transfers, locks, and settlement.",
  async function each_settlement_does_its_own(world) {
    const queue = await world.queue();
    await world.sender(queue).sendMessages(["complete", "abandon", "defer", "dead"].map((body) => message(body)));
    const receiver = world.receiver(queue);
    const [complete, abandon, defer, dead] = await some(receiver, 4);
    await receiver.completeMessage(complete);
    await receiver.deferMessage(defer);
    await receiver.deadLetterMessage(dead, { deadLetterReason: "malformed", deadLetterErrorDescription: "no id" });
    await receiver.abandonMessage(abandon);
    const [again] = await some(receiver, 1);
    equal([again.body, again.deliveryCount], ["abandon", 1]);
    const [back] = await receiver.receiveDeferredMessages(defer.sequenceNumber);
    equal(back.body, "defer");
    await receiver.completeMessage(back);
    const [letter] = await some(world.receiver(queue, { subQueueType: "deadLetter" }), 1);
    const told = [letter.body, letter.deadLetterReason, letter.deadLetterErrorDescription];
    equal(told, ["dead", "malformed", "no id"]);
    equal(bodies(await receiver.peekMessages(10, { fromSequenceNumber: complete.sequenceNumber })), ["abandon"]);
  },
);

check(
  "A lost lock settles nothing; the message comes again. [Guide] Service Bus messaging exceptions: MessageLockLost.",
  async function a_lost_lock_settles_nothing(world) {
    const queue = await world.queue(lock(LOCK_MS / 1000));
    await world.sender(queue).sendMessages(message("x"));
    const receiver = world.receiver(queue);
    const [lost] = await some(receiver, 1);
    await sleep(LOCK_MS + 200);
    await refused({ code: "MessageLockLost" }, () => receiver.completeMessage(lost));
    equal((await some(world.receiver(queue), 1))[0].deliveryCount, 1);
  },
);

check(
  "A renewed lock lasts longer. [Guide] Message transfers, locks, and settlement: renew locks.",
  async function a_renewed_lock_lasts_longer(world) {
    const queue = await world.queue(lock(LOCK_MS / 1000));
    await world.sender(queue).sendMessages(message("x"));
    const receiver = world.receiver(queue);
    const [got] = await some(receiver, 1);
    const first = got.lockedUntilUtc.getTime();
    await sleep(LOCK_MS * 0.6);
    const until = await receiver.renewMessageLock(got);
    truth(until.getTime() > first + LOCK_MS * 0.4, `${first} -> ${until.getTime()}`);
    await sleep(LOCK_MS * 0.6);
    await receiver.completeMessage(got);
    equal(await receiver.peekMessages(1, { fromSequenceNumber: got.sequenceNumber }), []);
  },
);

check(
  "A scheduled message comes at its time, or not at all once cancelled. [Guide] Message sequencing and timestamps.",
  async function scheduled_messages_wait_and_can_be_cancelled(world) {
    const queue = await world.queue();
    const sender = world.sender(queue);
    const due = Date.now() + 1500;
    const [cancelled] = await sender.scheduleMessages([message("cancelled"), message("kept")], new Date(due));
    await sender.cancelScheduledMessages(cancelled);
    const receiver = world.receiver(queue);
    equal(await receiver.receiveMessages(1, NOTHING), []);
    equal(bodies(await some(receiver, 1)), ["kept"]);
    truth(Date.now() >= due - 50, "it came too early");
    equal(await receiver.receiveMessages(1, NOTHING), []);
  },
);

check(
  "A subscription handles every message once, many at a time. [API] ServiceBusReceiver.subscribe, maxConcurrentCalls.",
  async function a_subscription_handles_every_message_once(world) {
    const queue = await world.queue();
    const expected = Array.from({ length: 500 }, (_, n) => n);
    await world.sender(queue).sendMessages(expected.map((n) => message(n)));
    const seen = [];
    const receiver = world.receiver(queue);
    await new Promise((done, failed) => {
      setTimeout(() => failed(new Error(`${seen.length} of ${expected.length} came in time`)), 20_000).unref();
      const processMessage = async ({ body }) => {
        if (seen.push(body) === expected.length) done();
      };
      const processError = async ({ error }) => failed(error);
      receiver.subscribe({ processMessage, processError }, { maxConcurrentCalls: 50 });
    });
    await receiver.close();
    equal(seen.sort((a, b) => a - b), expected);
    equal(await world.receiver(queue).peekMessages(1), []);
  },
);

check(
  "In receive-and-delete a delivered message is gone. [Guide] Message transfers, locks, and settlement.",
  async function receive_and_delete_leaves_nothing(world) {
    const queue = await world.queue();
    await world.sender(queue).sendMessages([message("a"), message("b")]);
    const receiver = world.receiver(queue, { receiveMode: "receiveAndDelete" });
    equal(bodies(await some(receiver, 2)), ["a", "b"]);
    equal(await world.receiver(queue).peekMessages(10), []);
  },
);

check(
  "Too many deliveries end in the dead-letter queue. [Guide] Dead-letter queues: MaxDeliveryCountExceeded.",
  async function too_many_deliveries_end_in_the_dead_letter_queue(world) {
    const queue = await world.queue("<MaxDeliveryCount>2</MaxDeliveryCount>");
    await world.sender(queue).sendMessages(message("poison"));
    const receiver = world.receiver(queue);
    for (const _ of [1, 2]) await receiver.abandonMessage((await some(receiver, 1))[0]);
    const [letter] = await some(world.receiver(queue, { subQueueType: "deadLetter" }), 1);
    equal([letter.body, letter.deadLetterReason], ["poison", "MaxDeliveryCountExceeded"]);
  },
);

check(
  "An unknown queue and a wrong key are refused. [Guide] Service Bus messaging exceptions.",
  async function strangers_and_unknown_queues_are_refused(world) {
    const unknown = { code: "MessagingEntityNotFound" };
    await refused(unknown, () => world.sender("no-such-queue").sendMessages(message("x")));
    const queue = await world.queue();
    const text = world.azure.service_bus_connection_string.replace("SharedAccessKey=", "SharedAccessKey=d3Jvbmc");
    const stranger = world.connect({ maxRetries: 0, timeoutInMs: 5000 }, text);
    await refused({ code: "UnauthorizedAccess" }, () => stranger.createSender(queue).sendMessages(message("x")));
    await stranger.close();
  },
);

check(
  "A busy service says so, and the client tries again. [Guide] Service Bus messaging exceptions: ServerBusy.",
  async function throttling_is_retried_by_the_client(world) {
    const queue = await world.queue();
    await world.admin.fault({ operation: "send", kind: "throttle", count: 1 });
    await refused({ code: "ServiceBusy", retryable: true }, () => world.sender(queue).sendMessages(message("x")));
    await world.admin.fault({ operation: "send", kind: "throttle", count: 1, retry_after: "100ms" });
    const patient = world.connect({ maxRetries: 3, retryDelayInMs: 100, timeoutInMs: 5000 });
    await patient.createSender(queue).sendMessages(message("y"));
    await patient.close();
    equal(bodies(await some(world.receiver(queue), 1)), ["y"]);
  },
);

await main((ready) => new World(ready));
