// DynamoDB through @aws-sdk/client-dynamodb.

import { randomUUID } from "node:crypto";
import { Admin, check, equal, main, refused, sdk, sleep, truth } from "./harness.mjs";

const dynamodb = sdk("@aws-sdk/client-dynamodb");
const RUN = randomUUID().slice(0, 8);

/** A key of this run's own. */
const key = (name) => `${RUN}/${name}`;

class World {
  constructor({ aws, admin }) {
    this.aws = aws;
    this.admin = new Admin(admin, "dynamodb");
    this.client = this.connect();
  }

  connect(changes = {}) {
    const credentials = { accessKeyId: this.aws.access_key_id, secretAccessKey: this.aws.secret_access_key };
    // No retries: a check must see the service's own answer.
    const settings = { endpoint: this.aws.dynamodb_endpoint, region: this.aws.region, credentials, maxAttempts: 1 };
    return new dynamodb.DynamoDBClient({ ...settings, ...changes });
  }

  ask(command, input, client = this.client) {
    return client.send(new dynamodb[`${command}Command`]({ TableName: this.aws.table, ...input }));
  }

  /** Writes an item if there is none or an older one: the write that the bridge itself makes. */
  put(name, version, more = {}) {
    return this.ask("PutItem", {
      Item: { pk: { S: name }, version: { S: version }, ...more },
      ConditionExpression: "attribute_not_exists(pk) OR version < :v",
      ExpressionAttributeValues: { ":v": { S: version } },
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    });
  }

  async get(name) {
    return (await this.ask("GetItem", { Key: { pk: { S: name } }, ConsistentRead: true })).Item;
  }

  cleanUp() {
    return this.admin.restore();
  }
}

check(
  "Put if newer: older and equal are refused, and the error carries the old item. [API] PutItem, ALL_OLD.",
  async function put_if_newer_refuses_with_the_old_item(world) {
    await world.put(key("lww"), "2");
    await world.put(key("lww"), "3", { payload: { M: { n: { N: "3" } } } });
    for (const stale of ["1", "3"]) {
      const refusal = { name: "ConditionalCheckFailedException" };
      const error = await refused(refusal, () => world.put(key("lww"), stale));
      truth(error instanceof dynamodb.ConditionalCheckFailedException, "it is not the SDK's own class");
      equal([error.Item.version, error.Item.payload], [{ S: "3" }, { M: { n: { N: "3" } } }]);
    }
  },
);

check(
  "Of many writers at once the greatest version stays. [Guide] Conditional writes are atomic per item.",
  async function of_many_writers_the_greatest_stays(world) {
    const versions = Array.from({ length: 24 }, (_, at) => String(at).padStart(3, "0"));
    await Promise.allSettled(versions.map((version) => world.put(key("race"), version)));
    equal((await world.get(key("race"))).version, { S: "023" });
  },
);

check(
  "All types come back, numbers by their decimal value. [API] Data types; AttributeValue.",
  async function all_types_come_back(world) {
    const payload = {
      M: {
        list: { L: [{ N: "0.1" }, { S: "" }, { NULL: true }, { BOOL: false }, { M: {} }] },
        long: { N: "12345678901234567890123456789012345678" },
        "ü": { S: "日本 😀" },
        bytes: { B: Uint8Array.from([0, 255]) },
        set: { SS: ["a"] },
      },
    };
    await world.put(key("types"), "1", { payload });
    const got = (await world.get(key("types"))).payload;
    got.M.bytes.B = Uint8Array.from(got.M.bytes.B);
    equal(got, payload);
  },
);

check(
  "A scan goes page by page, and sees every item once. [API] Scan, ExclusiveStartKey, Segment.",
  async function a_scan_sees_every_item_once(world) {
    const keys = Array.from({ length: 60 }, (_, at) => key(`scan/${String(at).padStart(2, "0")}`));
    await Promise.all(keys.map((name) => world.put(name, "1")));
    const seen = [];
    for (const Segment of [0, 1, 2]) {
      const input = { TableName: world.aws.table, Segment, TotalSegments: 3, Limit: 10 };
      for await (const page of dynamodb.paginateScan({ client: world.client }, input)) {
        seen.push(...page.Items.map((item) => item.pk.S).filter((name) => name.startsWith(key("scan/"))));
      }
    }
    equal(seen.sort(), keys);
  },
);

check(
  "A transaction is whole or not at all, with a reason for each item. [API] TransactWriteItems, CancellationReasons.",
  async function a_transaction_is_whole_or_not_at_all(world) {
    const put = (name, more = {}) => ({ Put: { TableName: world.aws.table, Item: { pk: { S: key(name) } }, ...more } });
    await world.ask("TransactWriteItems", { TableName: undefined, TransactItems: [put("t1"), put("t2")] });
    const TransactItems = [put("t3"), put("t1", { ConditionExpression: "attribute_not_exists(pk)" })];
    const canceled = { name: "TransactionCanceledException" };
    const error = await refused(canceled, () => world.ask("TransactWriteItems", { TableName: undefined, TransactItems }));
    equal(error.CancellationReasons.map(({ Code }) => Code), ["None", "ConditionalCheckFailed"]);
    equal([await world.get(key("t3")), (await world.get(key("t2"))).pk], [undefined, { S: key("t2") }]);
  },
);

check(
  "What cannot be done is refused with the SDK's own classes. [Guide] Error handling with DynamoDB.",
  async function errors_have_their_class(world) {
    const get = (input) => () => world.ask("GetItem", { Key: { pk: { S: "a" } }, ...input });
    await refused({ name: "ResourceNotFoundException" }, get({ TableName: "no-such-table" }));
    await refused({ name: "ValidationException" }, get({ Key: { pk: { N: "1" } } }));
    const stranger = world.connect({ credentials: { accessKeyId: "stranger", secretAccessKey: "x" } });
    await refused({ name: "UnrecognizedClientException" }, () => world.ask("ListTables", {}, stranger));
  },
);

check(
  "An item whose time is over goes away. [Guide] Time to live: epoch seconds, in the table's attribute.",
  async function an_item_whose_time_is_over_goes_away(world) {
    const expires_at = { N: String(Math.floor(Date.now() / 1000) + 1) };
    await world.put(key("ttl"), "1", { expires_at });
    truth(await world.get(key("ttl")), "it was gone at once");
    // The service itself takes up to days; here nobody should have to wait.
    for (let round = 0; round < 80 && (await world.get(key("ttl"))); round += 1) await sleep(100);
    equal(await world.get(key("ttl")), undefined);
  },
);

check(
  "The client retries what the service throttles, by itself. [Client] standard retry mode.",
  async function the_client_gets_through_throttling(world) {
    await world.put(key("throttled"), "1");
    await world.admin.fault({ operation: "GetItem", kind: "throttle", count: 2 });
    const patient = world.connect({ maxAttempts: 5 });
    const answer = await world.ask("GetItem", { Key: { pk: { S: key("throttled") } } }, patient);
    equal([answer.$metadata.attempts, answer.Item.version], [3, { S: "1" }]);
    await world.admin.fault({ operation: "GetItem", kind: "throttle", count: 1 });
    const error = await world.get(key("throttled")).catch((found) => found);
    truth(error.$retryable?.throttling || /Throttling|Throughput/.test(error.name), `it is ${error.name}`);
  },
);

await main((ready) => new World(ready));
